"""Resample a recording to the rate of a field potential: the compute module.

Runs in the tool's own Python: standard library, numpy, h5py and SpikeInterface (with scipy) only. `compute` leaves in
``results`` ``lfp`` (float32, (samples, channels), microvolts) and, for a series with timestamps, ``timestamps``
(float64, seconds in the session's clock). Memory does not grow with the recording: it is read block by block, each
with a margin of the filter's length, so that blocks have no edges.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Callable, Dict, List, Mapping, Tuple

import h5py
import numpy as np
from scipy.signal import firwin, resample_poly

from ._preprocess import open_recording
from ._spikesorting_series import read_clock

#: Half of the filter's length, in samples of the slower rate, and the Kaiser window's shape: 80 dB.
_HALF_LENGTH, _KAISER_BETA = 32, 7.86
#: Width of the step from pass band to stop band, as a share of half the new rate.
_STEP = 0.16
_BLOCK_S = 10.0


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Resample the series ``request["inputs"]["recording"]``; see the module's docstring for what is left."""
    params, facts, series = request["params"], request["facts"], request["inputs"]["recording"]
    clock = read_clock(series)
    recording, _ = open_recording(request, clock.rate)
    channels = facts["channels"]
    recording = recording.select_channels(recording.channel_ids[channels])
    groups = np.asarray(facts["groups"])[channels]
    ratio = Fraction(params["rate"] / clock.rate).limit_denominator(1000)
    up, down = ratio.numerator, ratio.denominator
    stretches = find_stretches(series, clock, recording.get_num_samples())
    lengths = [-(-(end - start) * up // down) for start, end in stretches]
    chunks = (min(8192, max(1, sum(lengths))), min(64, len(channels)))
    lfp = results.create_dataset("lfp", (sum(lengths), len(channels)), "float32", chunks=chunks)
    stamps = None if clock.timestamps is None else results.create_dataset("timestamps", (sum(lengths),), "float64")
    taps = design_filter(up, down)
    offset = 0
    for (start, end), length in zip(stretches, lengths):
        for first, values in resample_stretch(recording, start, end, up, down, taps):
            subtract_reference(values, groups, params["reference"])
            lfp[offset + first : offset + first + len(values)] = values
            progress(0.05 + 0.9 * (offset + first) / sum(lengths), "resampling")
        if stamps is not None:
            times = interpolate_times(series, clock.timestamps, start, end, length, down / up)
            stamps[offset : offset + length] = times
        offset += length
    rate = clock.rate * up / down
    band = f"below {rate / 2 * (1 - _STEP):g} Hz"
    filtering = "none" if up == down else f"linear-phase low-pass, {band} flat, aliases of {rate / 2:g} Hz 80 dB down"
    return {"rate": rate, "starting_time": clock.start, "filtering": filtering, "stretches": len(stretches)}


def find_stretches(series: Mapping[str, Any], clock: Any, samples: int) -> "List[Tuple[int, int]]":
    """Return first and end sample of each stretch without a gap."""
    if clock.timestamps is None or len(clock.obs_intervals) == 1:
        return [(0, samples)]
    with h5py.File(series["file"], "r", locking=False) as file:
        times = file[clock.timestamps][:]
    starts = np.searchsorted(times, clock.obs_intervals[:, 0] - 0.5 / clock.rate)
    return list(zip(starts.tolist(), [*starts[1:].tolist(), samples]))


def design_filter(up: int, down: int) -> np.ndarray:
    """Return the taps of the low-pass filter at ``up`` times the recording's rate."""
    slower = max(up, down)
    taps: np.ndarray = firwin(
        2 * _HALF_LENGTH * slower + 1, (1 - _STEP / 2) / slower, window=("kaiser", _KAISER_BETA)
    )
    return taps


def resample_stretch(recording: Any, start: int, end: int, up: int, down: int, taps: np.ndarray) -> Any:
    """Yield the first sample and the resampled values of each block of a stretch."""
    if up == down:
        taps = np.ones(1)
    block = max(1, int(_BLOCK_S * recording.sampling_frequency) // down) * down
    margin = -(-(len(taps) // 2) // (up * down) + 1) * down if up != down else 0
    for first in range(start, end, block):
        last = min(first + block, end)
        low, high = max(start, first - margin), min(end, last + margin)
        traces = np.asarray(recording.get_traces(start_frame=low, end_frame=high), dtype="float32")
        if up == down:
            values = traces
        else:
            # The edges of the recording go on as they end: zeros would make a step of a channel with an offset.
            traces = np.pad(traces, ((margin - (first - low), margin - (high - last)), (0, 0)), mode="edge")
            values = resample_poly(traces, up, down, axis=0, window=taps)
            skip = margin * up // down
            values = values[skip : skip + -(-(last - first) * up // down)]
        yield (first - start) * up // down, np.asarray(values, dtype="float32")


def subtract_reference(values: np.ndarray, groups: np.ndarray, reference: str) -> None:
    """Subtract each group's median or average in place."""
    reduce: Any = {"median": np.median, "average": np.mean}.get(reference)
    if reduce is not None:
        for group in np.unique(groups):
            inside = np.flatnonzero(groups == group)
            values[:, inside] -= reduce(values[:, inside], axis=1, keepdims=True)


def interpolate_times(
    series: Mapping[str, Any], timestamps: Any, start: int, end: int, length: int, step: float
) -> np.ndarray:
    """Return the times of resampled values: the `step`-th timestamps, or what lies between two."""
    with h5py.File(series["file"], "r", locking=False) as file:
        times = file[timestamps][start:end]
    positions = np.minimum(np.arange(length) * step, len(times) - 1)
    interpolated: np.ndarray = np.interp(positions, np.arange(len(times)), times)
    return interpolated
