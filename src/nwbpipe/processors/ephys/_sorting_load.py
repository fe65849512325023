"""Take what Phy, Kilosort or SpikeInterface left in a folder as a result: each spike in a unit, or an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import InputError, Problem, SourceError
from nwbpipe.nwb_builders import (
    PhySorting,
    is_spikeinterface,
    list_phy_files,
    list_spikeinterface_files,
    read_phy,
)
from nwbpipe.processors._base import Loaded
from nwbpipe.processors.ephys._sorting_load_si import load_saved_sorting

#: Columns of Phy's tables that say what we measure ourselves, or say of the spikes themselves.
_LEFT_OUT = frozenset({"n_spikes", "fr", "depth", "sh", "ch", "amp", "Amplitude", "group", "KSLabel"})


def output_files(source: Path) -> list[Path]:
    """Return the files of the folder that are read."""
    folder = _find_saved_sorting(source)
    return list_phy_files(source) if folder is None else list_spikeinterface_files(folder)


def load_output(source: Path, results: h5py.File, facts: Mapping[str, Any], params: Any) -> Loaded:
    """Read a folder of Phy or Kilosort, or a sorting or analyzer of SpikeInterface, into `results`.

    Parameters
    ----------
    source : Path
        The folder with ``params.py``; or one that SpikeInterface saved.
    results : h5py.File
        Open for writing: ``spike_samples`` instead of the compute module's times, and no waveforms.
    facts : mapping
        Of the recording that was sorted (`SpikeSorting.prepare`).
    params : SpikeSortingParams
        The defaults.

    Raises
    ------
    InputError
        If the sorting is of another recording.
    SourceError
        If the folder is damaged, or a spike belongs to no unit.
    """
    folder = _find_saved_sorting(source)
    if folder is not None:
        return load_saved_sorting(folder, results, facts, params)
    sorting = read_phy(source)
    _check_recording(sorting, facts, source)
    trains = [sorting.samples[sorting.clusters == cluster] for cluster in sorting.ids]
    if sum(map(len, trains)) != len(sorting.samples):
        msg = "spikes belong to no unit"
        raise SourceError(
            msg, where=str(source), expected=str(len(sorting.samples)), found=str(sum(map(len, trains)))
        )
    columns = sorted(sorting.channels.tolist()) if sorting.channels is not None else range(len(facts["groups"]))
    position = {column: number for number, column in enumerate(columns)}
    peaks = [position.get(sorting.peak.get(cluster, -1), -1) for cluster in sorting.ids]
    groups = np.asarray(facts["groups"])[list(columns)]
    results["spike_samples"] = np.concatenate(trains) if trains else np.zeros(0, "int64")
    results["spike_times_index"] = np.cumsum([len(train) for train in trains], dtype="int64")
    results["channel_indices"] = np.asarray(list(columns), dtype="int64")
    results["peak_channel"] = np.asarray(peaks, dtype="int64")
    results["unit_group"] = np.where(np.asarray(peaks) >= 0, groups[np.asarray(peaks, dtype=int)], -1).astype("int32")
    results.create_group("metrics")
    results["unit_name"] = [str(cluster) for cluster in sorting.ids]
    labels = sorting.properties.get("group", {})
    if labels:
        results["quality_label"] = [labels.get(cluster, "unsorted") for cluster in sorting.ids]
    ks_labels = sorting.properties.get("KSLabel", {})
    if ks_labels:
        results["ks_label"] = [ks_labels.get(cluster, "unsorted") for cluster in sorting.ids]
    extra = results.create_group("properties")
    for name, values in sorting.properties.items():
        if name not in _LEFT_OUT and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            extra[name] = [values.get(cluster, "") for cluster in sorting.ids]
    summary = {
        "sorter": "Phy or Kilosort, in the folder",
        "sorter_version": source.resolve().name,
        "units": len(trains),
        "spikes": len(sorting.samples),
        "rate": facts["rate"],
        "labels": {label: list(labels.values()).count(label) for label in sorted(set(labels.values()))},
    }
    settings = {name: value for name, value in sorting.settings.items() if name != "dat_path"}
    return Loaded(summary, params, {**{key: _plain(value) for key, value in settings.items()}, "loaded": True})


def _find_saved_sorting(source: Path) -> Path | None:
    """Return the folder that SpikeInterface saved: the one named, or that in a folder of `nwbpipe export`.

    A folder of Phy is read as such, whatever analyzer lies in it: what a person curated is in Phy's files.
    """
    folders = [source] if (source / "params.py").is_file() else [source, source / "analyzer"]
    return next((folder for folder in folders if is_spikeinterface(folder)), None)


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _check_recording(sorting: PhySorting, facts: Mapping[str, Any], source: Path) -> None:
    problems = []
    rate = sorting.settings.get("sample_rate")
    if not isinstance(rate, int | float) or abs(rate - facts["rate"]) > 1e-3 * facts["rate"]:
        problems.append(
            Problem("sampling rates differ", str(source / "params.py"), f"{facts['rate']:g} Hz", f"{rate} Hz")
        )
    channels = len(facts["groups"])
    if sorting.channels is not None and len(sorting.channels) and sorting.channels.max() >= channels:
        problems.append(
            Problem(
                "the sorting has a channel that the recording lacks",
                str(source / "channel_map.npy"),
                f"channels 0 to {channels - 1}",
                str(sorting.channels.max()),
            )
        )
    if len(sorting.samples) and sorting.samples[-1] >= facts["samples"]:
        late = int(np.sum(sorting.samples >= facts["samples"]))
        text = f"{late} of {len(sorting.samples)} spikes after it, the last at sample {sorting.samples[-1]}"
        problems.append(
            Problem(
                "spikes lie after the recording",
                str(source / "spike_times.npy"),
                f"{facts['samples']} samples",
                text,
            )
        )
    if problems:
        msg = "the sorting is not of this recording"
        first = problems[0]
        raise InputError(
            f"{msg}: {first.what}",
            where=first.where,
            expected=first.expected,
            found="; ".join(f"{problem.what}: {problem.found}" for problem in problems),
            hint="bind the recording that was sorted: --input recording=PATH",
        )
