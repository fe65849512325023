"""Take a sorting or an analyzer that SpikeInterface saved as the result of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import InputError, SourceError
from nwbpipe.nwb_builders import SavedSorting, read_spikeinterface
from nwbpipe.processors._base import Loaded

#: Properties that get a column of their own, and names that a table of units keeps for itself.
_LABELS = {"quality": "quality_label", "KSLabel": "ks_label"}
_RESERVED = frozenset(
    {"id", "name", "unit_name", "spike_times", "obs_intervals", "electrodes", "electrode_group", "peak_electrode"}
    | {"waveform_mean", "waveform_sd", "waveforms", "spike_amplitudes", "spike_depths"}
    | {"estimated_x", "estimated_y", "estimated_z", *_LABELS.values()}
)
_WAVEFORM_CHANNELS = 32


def load_saved_sorting(source: Path, results: h5py.File, facts: Mapping[str, Any], params: Any) -> Loaded:
    """Read a sorting or an analyzer into `results`; see `load_output`.

    An analyzer brings mean waveforms (on the channels that all of its units have), positions, amplitudes and metrics.

    Raises
    ------
    InputError
        If the sorting is of another recording.
    SourceError
        If the folder is damaged, or a spike belongs to no unit.
    """
    sorting = read_spikeinterface(source)
    _check_recording(sorting, facts, source)
    order = np.lexsort((sorting.samples, sorting.units))
    results["spike_samples"] = sorting.samples[order]
    counts = np.bincount(sorting.units, minlength=len(sorting.unit_ids))
    results["spike_times_index"] = np.cumsum(counts).astype("int64")
    columns = match_channels(sorting.channel_ids, facts)
    results["channel_indices"] = np.arange(len(facts["groups"])) if columns is None else columns
    peaks = np.full(len(sorting.unit_ids), -1, "int64")
    if columns is not None and "templates" in sorting.extensions:
        peaks = _load_templates(sorting, results, source, facts, columns)
    results["peak_channel"] = peaks
    groups = np.asarray(facts["groups"])[results["channel_indices"][:]]
    results["unit_group"] = np.where(peaks >= 0, groups[peaks], -1).astype("int32")
    for name, values in _read_per_spike(sorting, source).items():
        results[name] = values[order].astype("float32")
    metrics = results.create_group("metrics")
    for name, values in sorting.metrics.items():
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and name not in _RESERVED:
            metrics[name] = values
    results["unit_name"] = list(sorting.unit_ids)
    labels = _load_properties(sorting, results)
    summary = {
        "sorter": f"SpikeInterface's {sorting.kind}, in the folder",
        "sorter_version": source.resolve().name,
        "units": len(sorting.unit_ids),
        "spikes": len(sorting.samples),
        "rate": facts["rate"],
        "labels": {label: labels.count(label) for label in sorted(set(labels))},
        "notes": _explain_missing(sorting, columns),
    }
    if "template_mean" in results:
        summary["waveforms"] = "the spikes that the loaded analyzer drew, on each of `electrodes`, as it was filtered"
        summary["ms_before"] = float(sorting.parameters.get("templates", {}).get("ms_before", 1.0))
    parameters = {"loaded": True, "kind": sorting.kind, "extensions": dict(sorting.parameters)}
    return Loaded(summary, params, parameters, sorting.version)


def match_channels(ids: tuple[str, ...], facts: Mapping[str, Any]) -> NDArray[np.int64] | None:
    """Return the column of the series of each channel: by its name, its number from 0, or all in their order.

    None if there are no channels, or they can't be told.
    """
    names, count = list(facts.get("channel_names") or ()), len(facts["groups"])
    if not ids:
        return None
    if len(set(names)) == len(names) and set(ids) <= set(names):
        return np.array([names.index(name) for name in ids], dtype="int64")
    numbers = [int(name) for name in ids if name.isdecimal()]
    if len(numbers) == len(ids) and max(numbers) < count and (0 in numbers or max(numbers) == count - 1):
        return np.array(numbers, dtype="int64")
    return np.arange(count, dtype="int64") if len(ids) == count else None


def _explain_missing(sorting: SavedSorting, columns: NDArray[np.int64] | None) -> list[str]:
    """Return in words what of an analyzer was left out, and why."""
    notes = []
    if "templates" in sorting.extensions and columns is None:
        notes.append("its channels could not be told from those of the recording, so waveforms were left out")
    if sorting.kind == "analyzer" and not sorting.in_microvolts:
        notes.append("it is not in microvolts, so waveforms and amplitudes were left out")
    return notes


def _load_templates(
    sorting: SavedSorting, results: h5py.File, source: Path, facts: Mapping[str, Any], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Write the mean waveforms; return the channel of each unit's largest one."""
    arrays = sorting.extensions["templates"]
    mean, units, channels = np.asarray(arrays["average"]), len(sorting.unit_ids), len(sorting.channel_ids)
    if mean.ndim != 3 or mean.shape[0] != units or mean.shape[2] != channels:
        msg = "the templates are of other units or channels"
        expected = f"({units} units, samples, {channels} channels)"
        raise SourceError(msg, where=str(source), expected=expected, found=str(mean.shape))
    peaks: NDArray[np.int64] = np.argmax(np.ptp(mean, axis=1), axis=1).astype("int64")
    mask = np.ones((units, channels), bool) if sorting.sparsity is None else np.asarray(sorting.sparsity, bool)
    if units and sorting.in_microvolts:
        # A waveform is not known where an analyzer is sparse: as many channels as each unit has, the nearest.
        positions = np.asarray(facts["locations"], float)[columns]
        number = min(_WAVEFORM_CHANNELS, int(mask.sum(axis=1).min()))
        distances = np.linalg.norm(positions[None, :, :] - positions[peaks][:, None, :], axis=2)
        nearest = np.argsort(np.where(mask, distances, np.inf), axis=1, kind="stable")[:, :number]
        results["template_channels"] = nearest.astype("int64")
        results["template_mean"] = np.take_along_axis(mean, nearest[:, None, :], axis=2).astype("float32")
        sd = np.asarray(arrays["std"]) if "std" in arrays else np.full_like(mean, np.nan)
        results["template_sd"] = np.take_along_axis(sd, nearest[:, None, :], axis=2).astype("float32")
        estimated = np.asarray(
            sorting.extensions.get("unit_locations", {}).get("unit_locations", np.zeros((units, 0)))
        )
        locations = np.full((units, 3), np.nan)
        locations[:, : estimated.shape[1]] = estimated[:, :3]  # the fourth is an amplitude at the source
        results["unit_locations"] = locations
    return peaks


def _read_per_spike(sorting: SavedSorting, source: Path) -> dict[str, NDArray[Any]]:
    values = {}
    amplitudes = sorting.extensions.get("spike_amplitudes", {}).get("amplitudes")
    if amplitudes is not None and sorting.in_microvolts:
        values["spike_amplitudes"] = amplitudes
    locations = sorting.extensions.get("spike_locations", {}).get("spike_locations")
    if locations is not None and "y" in (locations.dtype.names or ()):
        values["spike_depths"] = locations["y"]
    for name, array in values.items():
        if array.shape != sorting.samples.shape:
            msg = "an extension is of other spikes than the sorting"
            raise SourceError(
                msg, where=f"{source}: {name}", expected=str(len(sorting.samples)), found=str(array.shape)
            )
    return values


def _load_properties(sorting: SavedSorting, results: h5py.File) -> list[str]:
    """Write the properties as columns; return the labels."""
    extra = results.create_group("properties")
    labels: list[str] = []
    for name, values in sorting.properties.items():
        texts = [str(value) for value in values.tolist()]
        if name in _LABELS and values.dtype.kind in "SU":
            results[_LABELS[name]] = texts
            labels = texts if name == "quality" else labels
        elif re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and name not in _RESERVED and name not in sorting.metrics:
            extra[name] = texts if values.dtype.kind in "SU" else values
    return labels


def _check_recording(sorting: SavedSorting, facts: Mapping[str, Any], source: Path) -> None:
    faults = []
    if abs(sorting.rate - facts["rate"]) > 1e-3 * facts["rate"]:
        faults.append(("sampling rates differ", f"{facts['rate']:g} Hz", f"{sorting.rate:g} Hz"))
    length = facts["samples"]
    if sorting.recording_samples not in (None, length):
        faults.append(("lengths differ", f"{length} samples", f"{sorting.recording_samples} samples"))
    if len(sorting.samples) and sorting.samples.max() >= length:
        late = int(np.sum(sorting.samples >= length))
        faults.append(
            ("spikes lie after the recording", f"{length} samples", f"{late} spikes, to {sorting.samples.max()}")
        )
    if faults:
        fault, expected, _ = faults[0]
        raise InputError(
            f"the sorting is not of this recording: {fault}",
            where=str(source),
            expected=expected,
            found="; ".join(f"{text}: {value}" for text, _, value in faults),
            hint="bind the recording that was sorted: --input recording=PATH",
        )
