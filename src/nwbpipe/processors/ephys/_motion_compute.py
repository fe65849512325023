"""Estimate the motion of tissue along a probe: the compute module.

Runs in the tool's own Python: standard library, numpy, h5py and SpikeInterface only. `compute` leaves in ``results``
the group ``motion`` (see `_spikesorting_series.store_motion`), and ``raster`` (int64, (bins, depths)), the spikes in
each bin of time (``raster_times``, seconds in the session's clock) and depth (``raster_depths``, micrometers).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Mapping

import h5py
import numpy as np
import spikeinterface.full as si

from ._motion_estimate import estimate_motion, find_peaks, motion_to_json
from ._preprocess import open_cache, preprocess
from ._spikesorting_series import read_clock, spike_times, store_motion

_RASTER_S, _RASTER_UM = 1.0, 10.0


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Estimate the motion of each dense group of ``request["inputs"]["recording"]``.

    Raises
    ------
    ValueError
        If a group has too few spikes for its motion to be seen.
    """
    params, seed, series = request["params"], request.get("seed"), request["inputs"]["recording"]
    si.set_global_job_kwargs(n_jobs=max(1, int(request["threads"])), chunk_duration="1s", progress_bar=False)
    clock = read_clock(series)
    folder = Path(request["scratch"]) / "cache"
    folder.mkdir()
    decisions = preprocess(request, clock.rate, folder, progress)
    recording, groups = open_cache(folder), np.asarray(decisions["groups"])
    motions, times, depths, extents = [], [], [], []
    for number, group in enumerate(request["facts"]["motion_groups"]):
        progress(0.6 + 0.35 * number / len(request["facts"]["motion_groups"]), f"estimating motion: group {group}")
        part = recording.select_channels(recording.channel_ids[groups == group])
        peaks = find_peaks(part, params["motion"], seed)
        motion, reason = estimate_motion(part, params["motion"], seed, peaks, least_um=0.0)
        if motion is None:
            raise ValueError(f"group {group}: {reason}")
        motions.append({"group": int(group), **motion_to_json(motion)})
        times.append(peaks[0]["sample_index"] / clock.rate)
        depths.append(peaks[1]["y"])
        extents.append(float(np.ptp(motion.displacement[0])))
    store_motion(results, motions, series, clock, decisions["samples"])
    seconds = decisions["samples"] / clock.rate
    low, high = float(np.min(recording.get_channel_locations()[:, 1])), float(np.max(np.concatenate(depths)))
    edges_s = np.linspace(0.0, seconds, max(2, int(seconds / _RASTER_S) + 1))
    edges_um = np.arange(low - _RASTER_UM, high + 2 * _RASTER_UM, _RASTER_UM)
    raster = np.histogram2d(np.concatenate(times), np.concatenate(depths), bins=(edges_s, edges_um))[0]
    results["raster"] = raster.astype("int64")
    frames = np.rint((edges_s[1:] + edges_s[:-1]) / 2 * clock.rate).astype("int64")
    results["raster_times"] = spike_times(series, clock, [np.clip(frames, 0, decisions["samples"] - 1)])[0]
    results["raster_depths"] = (edges_um[1:] + edges_um[:-1]) / 2
    return {"rate": clock.rate, "extent_um": extents, "peaks": int(raster.sum())}
