"""Preprocess a recording once, into int16 in scratch: what sorters and measurements read.

A part of compute modules, under their rule: standard library, numpy, h5py and the tool (SpikeInterface) only.
The cache is a folder with ``traces.raw`` (int16, samples × channels that were kept, steps of `GAIN_UV`) and
``cache.json`` (what was decided: see `preprocess`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.full as si
from probeinterface import Probe
from spikeinterface.core import BaseRecording
from spikeinterface.core.motion import Motion

from ._channel_measures import (
    DEAD,
    GOOD,
    NOISY,
    find_periods,
    label_channels,
    mark_artifacts,
    measure_channels,
    merge_periods,
)
from ._motion_estimate import correct_traces, estimate_motion, judge_motion, motion_from_json, motion_to_json
from ._spikesorting_series import NwbSeriesRecording

#: Microvolts to one step of the cache: a range of ± 6.5 mV, and rounding far below any probe's noise.
GAIN_UV = 0.2
#: Below so many channels, a reference taken over a group carries too much of its own spikes.
CHANNELS_FOR_REFERENCE = 32
TRACES, DECISIONS = "traces.raw", "cache.json"
#: Artefacts closer than this are one; each is widened by the ringing of the filter.
_MERGE_S, _MARGIN_S = 0.005, 0.0003


def open_recording(request: Mapping[str, Any], rate: float) -> tuple[BaseRecording, np.ndarray]:
    """Return the recording, and how far each group was moved in x (micrometers) so that none overlap."""
    facts, series = request["facts"], request["inputs"]["recording"]
    locations, groups = np.array(facts["locations"], float), np.asarray(facts["groups"])
    shifts = np.zeros(int(groups.max()) + 1)
    edge = None
    for group in range(len(shifts)):
        inside = locations[groups == group, 0]
        # Half a millimeter: no spike is seen on two probes.
        shifts[group] = 0.0 if edge is None else edge + 500.0 - inside.min()
        edge = float(inside.max() + shifts[group])
    if len(shifts) == 1:
        shifts[:] = 0.0
    locations[:, 0] += shifts[groups]
    recording = NwbSeriesRecording(
        file=series["file"],
        data=series["data"],
        rate=rate,
        gains=facts["gains_to_uv"],
        offsets=facts["offsets_to_uv"],
        locations=locations.tolist(),
        groups=groups.tolist(),
    )
    if facts.get("inter_sample_shift") is not None:
        recording.set_property("inter_sample_shift", np.asarray(facts["inter_sample_shift"], float))
    return recording, shifts


def require_space(folder: Path, samples: int, channels: int) -> None:
    """Refuse if the cache does not fit on its disk.

    Raises
    ------
    OSError
        With the space that is needed and the space that is free.
    """
    needed, free = int(samples * channels * 2 * 1.05), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"not enough space for the preprocessed recording: it needs {needed / 1e9:.1f} GB in {folder}, and "
            f"{free / 1e9:.1f} GB are free; next: free space there, or set NWBPIPE_SCRATCH to a folder elsewhere"
        )


def build_chain(recording: Any, params: Mapping[str, Any]) -> Any:
    """Return the recording with the delays of its converter undone where they are known, and filtered."""
    nyquist = recording.sampling_frequency / 2
    low, high = params["freq_min"], params["freq_max"]
    if high is not None and high >= nyquist:
        raise ValueError(f"freq_max is {high} Hz; expected less than half of the sampling rate, {nyquist:g} Hz")
    shift = recording.get_property("inter_sample_shift")
    if shift is not None and np.any(shift != shift[0]):
        recording = si.phase_shift(recording, dtype="float32")
    if low is not None and high is not None:
        recording = si.bandpass_filter(recording, freq_min=low, freq_max=high, dtype="float32")
    elif low is not None:
        recording = si.highpass_filter(recording, freq_min=low, dtype="float32")
    return recording


def choose_channels(
    recording: Any, request: Mapping[str, Any], groups: np.ndarray
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return a label for each channel, and what it was measured from (empty if a method of SpikeInterface did it)."""
    facts, method, seed = request["facts"], request["params"]["bad_channels"], request.get("seed")
    if facts.get("channel_labels") is not None:
        return list(facts["channel_labels"]), {}
    if method == "none":
        return [GOOD] * recording.get_num_channels(), {}
    if method != "auto":
        return [str(label) for label in si.detect_bad_channels(recording, method=method, seed=seed)[1]], {}
    measured = measure_channels(recording, groups, seed)
    return label_channels(measured, groups, recording.get_channel_locations()[:, 1]), measured


def preprocess(
    request: Mapping[str, Any], rate: float, folder: Path, progress: Callable[[float, str], None]
) -> dict[str, Any]:
    """Write the cache of a recording into `folder`; return what was decided.

    The order: delays of the converter, filter, channels left out, artefacts, reference, artefacts set to zero,
    motion.

    Returns
    -------
    dict
        ``channels`` (columns of the series that were kept), ``labels`` (of every channel), ``reference``,
        ``artifacts`` ([first, end] samples), ``motion`` (see `motion_to_json`; null), ``motion_reason``,
        ``phase_shift``, ``clipped`` (samples beyond the range of the cache), ``rate``, ``samples``, ``locations``
        and ``groups`` of the kept channels, ``shifts`` (see `open_recording`). The same is in ``cache.json``.
    """
    params, facts = request["params"], request["facts"]
    raw, shifts = open_recording(request, rate)
    groups = np.asarray(raw.get_property("group"))
    labels, _ = choose_channels(raw, request, groups)
    columns = np.array([n for n, label in enumerate(labels) if label not in (DEAD, NOISY, "noise")], dtype=int)
    if not len(columns):
        raise ValueError("every channel was found to be bad; set bad_channels to 'none' or to another method")
    require_space(folder, raw.get_num_samples(), len(columns))
    chain = build_chain(raw, params).select_channels(raw.channel_ids[columns])
    members = [np.flatnonzero(groups[columns] == group) for group in np.unique(groups[columns])]
    operator = params["common_reference"]
    if operator == "auto":
        operator = "median" if min(map(len, members)) >= CHANNELS_FOR_REFERENCE else "none"
    noise = estimate_noise(chain, request.get("seed")) if params["artifacts"] else None
    known_periods = [tuple(period) for period in facts.get("artifact_samples") or []]
    marked, clipped = write_traces(
        chain, folder / TRACES, members, operator, noise, params, max(1, int(request["threads"])), progress
    )
    periods = merge_periods([*known_periods, *marked], int(_MERGE_S * rate))
    margin = int(_MARGIN_S * rate)
    periods = [(max(0, start - margin), min(raw.get_num_samples(), end + margin)) for start, end in periods]
    silence(folder / TRACES, len(columns), periods)
    decisions: dict[str, Any] = {
        "rate": rate,
        "samples": raw.get_num_samples(),
        "channels": columns.tolist(),
        "labels": labels,
        "locations": raw.get_channel_locations()[columns].tolist(),
        "groups": groups[columns].tolist(),
        "shifts": shifts.tolist(),
        "reference": operator,
        "phase_shift": "inter_sample_shift" in raw.get_property_keys(),
        "artifacts": [list(period) for period in periods],
        "clipped": clipped,
        "motion": None,
        "motion_reason": facts.get("motion_reason", ""),
    }
    save_decisions(folder, decisions)
    if facts.get("motion_method", "none") not in ("none", "sorter"):
        bound = facts["motion_method"] == "bound"
        progress(0.6, "correcting motion" if bound else f"estimating motion: {facts['motion_method']}")
        decisions["motion"], decisions["motion_reason"] = correct_motion(folder, request, decisions)
        save_decisions(folder, decisions)
    return decisions


def save_decisions(folder: Path, decisions: Mapping[str, Any]) -> None:
    """Write what was decided beside the traces."""
    (folder / DECISIONS).write_text(json.dumps(decisions), encoding="utf-8")


def load_decisions(folder: Path) -> dict[str, Any]:
    """Return what was decided when the cache was written."""
    decisions: dict[str, Any] = json.loads((folder / DECISIONS).read_text(encoding="utf-8"))
    return decisions


def open_cache(folder: Path) -> BaseRecording:
    """Return the preprocessed recording; its channel ids are the series' columns."""
    decisions = load_decisions(folder)
    channels = decisions["channels"]
    recording = si.BinaryRecordingExtractor(
        file_paths=[folder / TRACES],
        sampling_frequency=decisions["rate"],
        num_channels=len(channels),
        dtype="int16",
        channel_ids=channels,
        gain_to_uV=GAIN_UV,
        offset_to_uV=0.0,
        is_filtered=True,
    )
    probe = Probe(ndim=2, si_units="um")
    probe.set_contacts(np.asarray(decisions["locations"], float), shapes="circle", shape_params={"radius": 5.0})
    probe.set_device_channel_indices(np.arange(len(channels)))
    recording.set_probe(probe)
    recording.set_property("group", np.asarray(decisions["groups"]))
    return recording


def estimate_noise(recording: Any, seed: int | None, chunks: int = 20, seconds: float = 0.3) -> np.ndarray:
    """Return the noise of each channel (median absolute deviation / 0.6745), on chunks drawn at random."""
    samples = recording.get_num_samples()
    size = max(2, min(int(seconds * recording.sampling_frequency), samples))
    starts = np.random.default_rng(seed).integers(0, samples - size + 1, chunks)
    levels = []
    for start in starts:
        traces = recording.get_traces(start_frame=int(start), end_frame=int(start + size))
        levels.append(np.median(np.abs(traces - np.median(traces, axis=0)), axis=0) / 0.6745)
    noise: np.ndarray = np.median(np.stack(levels), axis=0)
    return noise


def write_traces(
    chain: Any,
    path: Path,
    members: list[np.ndarray],
    operator: str,
    noise: np.ndarray | None,
    params: Mapping[str, Any],
    threads: int,
    progress: Callable[[float, str], None],
) -> tuple[list[tuple[int, int]], int]:
    """Write the referenced traces as int16; return the artefacts, and how many values were out of range."""
    samples, channels = chain.get_num_samples(), chain.get_num_channels()
    block = max(1, int(chain.sampling_frequency))
    traces = np.memmap(path, dtype="int16", mode="w+", shape=(samples, channels))
    reduce: Any = {"median": np.median, "average": np.mean}.get(operator)

    def write(start: int) -> tuple[list[tuple[int, int]], int]:
        end = min(start + block, samples)
        values = np.asarray(chain.get_traces(start_frame=start, end_frame=end), dtype="float32")
        spoiled: list[tuple[int, int]] = []
        if noise is not None:
            marked = mark_artifacts(
                values, noise, times_noise=params["artifact_threshold"], fraction=params["artifact_fraction"]
            )
            spoiled = [(start + first, start + last) for first, last in find_periods(marked, 0)]
        if reduce is not None:
            for inside in members:
                values[:, inside] -= reduce(values[:, inside], axis=1, keepdims=True).astype("float32")
        values /= GAIN_UV
        np.rint(values, out=values)
        clipped = int(np.count_nonzero(np.abs(values) > 32767))
        traces[start:end] = np.clip(values, -32767, 32767).astype("int16")
        return spoiled, clipped

    chain.get_traces(start_frame=0, end_frame=1)  # opens the file before several threads do
    starts = list(range(0, samples, block))
    periods: list[tuple[int, int]] = []
    total = 0
    with ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as pool:
        for number, (spoiled, clipped) in enumerate(pool.map(write, starts)):
            periods += spoiled
            total += clipped
            if number % 10 == 0:
                progress(0.05 + 0.5 * number / len(starts), "preprocessing")
    traces.flush()
    return periods, total


def silence(path: Path, channels: int, periods: list[tuple[int, int]]) -> None:
    """Set the periods of a cache to zero."""
    if periods:
        traces = open_traces(path, channels)
        for start, end in periods:
            traces[start:end] = 0
        traces.flush()


def open_traces(path: Path, channels: int) -> np.memmap[Any, Any]:
    """Return the traces of a cache, to be changed."""
    samples = path.stat().st_size // (2 * channels)
    return np.memmap(path, dtype="int16", mode="r+", shape=(samples, channels))


def correct_motion(
    folder: Path, request: Mapping[str, Any], decisions: Mapping[str, Any]
) -> tuple[list[dict[str, Any]] | None, str]:
    """Write the cache as if nothing had moved, by the motion of an input or as estimated in each dense group.

    Returns
    -------
    list of dict or None
        The motion of each group that was estimated here and corrected.
    str
        What was done, or why nothing was.
    """
    facts = request["facts"]
    bound = {item["group"]: motion_from_json(item) for item in facts.get("motion_bound", [])}
    recording = open_cache(folder)
    groups = np.asarray(decisions["groups"])
    traces = open_traces(folder / TRACES, len(groups))
    motions, reasons = [], []
    for group in facts["motion_groups"]:
        inside = np.flatnonzero(groups == group)
        if not len(inside):
            continue
        part = recording.select_channels(recording.channel_ids[inside])
        motion: Motion | None
        if group in bound:
            motion, reason = judge_motion(bound[group], "the input `motion`")
        else:
            motion, reason = estimate_motion(part, facts["motion_method"], request.get("seed"))
        reasons.append(reason)
        if motion is not None:
            correct_traces(traces, inside, part, motion)
            if group not in bound:
                motions.append({"group": int(group), **motion_to_json(motion)})
    traces.flush()
    return motions or None, "; ".join(dict.fromkeys(reasons))
