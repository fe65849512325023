"""Measure the channels of a recording, and find artefacts and saturation: the compute module.

Runs in the tool's own Python: standard library, numpy, h5py and SpikeInterface only. `compute` leaves in ``results``
``channels/<measure>`` (see `_channel_measures.measure_channels`), ``bands`` (float64, (bands, 2): Hz), ``spectrum``
(float32, (bands, channels): microvolts squared per Hz), ``labels`` (text), ``artifacts`` (float64, (n, 2):
start and end in seconds in the session's clock) and ``kinds`` (text).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Tuple

import h5py
import numpy as np

from ._channel_measures import (
    choose_bands,
    find_periods,
    label_channels,
    mark_artifacts,
    measure_channels,
    merge_periods,
)
from ._preprocess import build_chain, estimate_noise, open_recording
from ._spikesorting_series import read_clock, sample_times

_MERGE_S = 0.005


def compute(request: Mapping[str, Any], results: h5py.File, progress: Callable[[float, str], None]) -> Dict[str, Any]:
    """Measure the series ``request["inputs"]["recording"]``; see the module's docstring for what is left."""
    params, seed, series = request["params"], request.get("seed"), request["inputs"]["recording"]
    clock = read_clock(series)
    raw, _ = open_recording(request, clock.rate)
    groups = np.asarray(raw.get_property("group"))
    progress(0.05, "measuring the channels")
    bands = choose_bands(raw.sampling_frequency)
    measured = measure_channels(raw, groups, seed, bands=bands)
    results["bands"] = bands
    results["spectrum"] = measured.pop("spectrum").T.astype("float32")
    limits = {name: params[name] for name in ("dead", "noisy", "outside")}
    labels = label_channels(measured, groups, raw.get_channel_locations()[:, 1], limits)
    good = np.array([label == "good" for label in labels])
    periods = find_spoiled(raw, good if good.any() else ~good, request, progress)
    for name, values in measured.items():
        results[f"channels/{name}"] = values
    results["labels"] = labels
    results["artifacts"] = sample_times(series, clock, np.array([period[:2] for period in periods], dtype="int64"))
    results.create_dataset("kinds", data=[kind for _, _, kind in periods], dtype=h5py.string_dtype())
    counts = {label: labels.count(label) for label in sorted(set(labels))}
    return {"rate": clock.rate, "labels": counts, "artifacts": len(periods)}


def find_spoiled(
    raw: Any, good: np.ndarray, request: Mapping[str, Any], progress: Callable[[float, str], None]
) -> "List[Tuple[int, int, str]]":
    """Return first and end sample, and kind, of artefacts and of saturation of most of the `good` channels."""
    params = request["params"]
    chain = build_chain(raw, params).select_channels(raw.channel_ids[good])
    chosen = raw.select_channels(raw.channel_ids[good])
    noise = estimate_noise(chain, request.get("seed"))
    limit = find_saturation(request, good)
    samples, block = raw.get_num_samples(), int(raw.sampling_frequency)
    artifacts: List[Tuple[int, int]] = []
    saturated: List[Tuple[int, int]] = []
    for start in range(0, samples, block):
        end = min(start + block, samples)
        values = chain.get_traces(start_frame=start, end_frame=end)
        marked = mark_artifacts(
            values, noise, times_noise=params["artifact_threshold"], fraction=params["artifact_fraction"]
        )
        artifacts += [(start + first, start + last) for first, last in find_periods(marked, 0)]
        if limit is not None:
            values = chosen.get_traces(start_frame=start, end_frame=end)
            full = np.mean((values <= limit[0]) | (values >= limit[1]), axis=1) >= params["artifact_fraction"]
            saturated += [(start + first, start + last) for first, last in find_periods(full, 0)]
        progress(0.1 + 0.85 * end / samples, "looking for artefacts")
    merge = int(_MERGE_S * raw.sampling_frequency)
    periods = [(*period, "artefact") for period in merge_periods(artifacts, merge)]
    periods += [(*period, "saturation") for period in merge_periods(saturated, merge)]
    return sorted(periods)


def find_saturation(request: Mapping[str, Any], good: np.ndarray) -> "Any":
    """Return the least and largest value of the good channels in microvolts, or None for data without ends."""
    limit_uv, facts = request["params"]["saturation_uv"], request["facts"]
    if limit_uv is not None:
        return -limit_uv, limit_uv
    series = request["inputs"]["recording"]
    with h5py.File(series["file"], "r", locking=False) as file:
        kind = file[series["data"]].dtype
    if kind.kind not in "iu":
        return None
    ends = np.iinfo(kind)
    gains, offsets = (np.asarray(facts[name], "float32")[good] for name in ("gains_to_uv", "offsets_to_uv"))
    margin = np.abs(gains) * 0.5
    low, high = gains * np.float32(ends.min) + offsets, gains * np.float32(ends.max) + offsets
    return np.minimum(low, high) + margin, np.maximum(low, high) - margin
