"""What holds for every real session, and reading an NWB file with nothing but h5py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BLOCK = 50


@dataclass(frozen=True)
class Converted:
    """A converted session: its spec, its file, and the folder of raw data."""

    spec: Path
    path: Path
    raw: Path

    def open(self) -> h5py.File:
        return h5py.File(self.path, "r")

    def sources(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.spec.read_text())["sources"])


def blocks(count: int, size: int = BLOCK) -> Iterator[slice]:
    """First, middle and last block of samples."""
    yield slice(0, min(size, count))
    middle = max(0, count // 2 - size // 2)
    yield slice(middle, min(middle + size, count))
    yield slice(max(0, count - size), count)


def times_of(series: h5py.Group) -> np.ndarray:
    """Times of all samples of a series, in seconds, from whichever form the file has."""
    if "timestamps" in series:
        assert "starting_time" not in series
        assert series["timestamps"].attrs["unit"] == "seconds"
        return np.asarray(series["timestamps"][()])
    start = series["starting_time"]
    assert start.attrs["unit"] == "seconds"
    count = int(series["num_samples"][()]) if "num_samples" in series else series["data"].shape[0]
    return float(start[()]) + np.arange(count) / float(start.attrs["rate"])


def assert_blocks_equal(stored: Any, expected: Any, size: int = BLOCK, **tolerance: float) -> None:
    """Compare shape, then the first, middle and last block; exactly unless a tolerance is given."""
    assert stored.shape == expected.shape
    for block in blocks(expected.shape[0], size):
        if tolerance:
            np.testing.assert_allclose(stored[block], expected[block], **tolerance)
        else:
            np.testing.assert_array_equal(stored[block], expected[block])


def ragged(table: h5py.Group, column: str, row: int) -> np.ndarray:
    """One row of a ragged column."""
    ends = table[f"{column}_index"][()]
    start = 0 if row == 0 else int(ends[row - 1])
    return np.asarray(table[column][start : int(ends[row])])


def check_session(converted: Converted) -> None:
    """Check what holds for every session: valid, complete, traceable, and naming no path of this machine."""
    _check_valid(converted.path)
    record = _conversion_record(converted)
    _check_every_source_left_data(converted, record)
    _check_raw_files_recorded(converted, record)
    _check_no_path_of_this_machine(converted)
    hidden = [item.name for item in converted.path.parent.iterdir() if item.name.startswith(".")]
    assert set(hidden) <= {f".{converted.path.stem}_nwb.lock"}  # nothing half-written


def _check_valid(path: Path) -> None:
    from nwbinspector import Importance, inspect_nwbfile, load_config
    from pynwb import NWBHDF5IO, validate

    assert validate(path=str(path)) == []
    with NWBHDF5IO(str(path), "r") as io:
        assert io.read().subject.subject_id
    messages = list(inspect_nwbfile(nwbfile_path=path, config=load_config("dandi")))
    assert [str(message) for message in messages if message.importance.value >= Importance.CRITICAL.value] == []


def _conversion_record(converted: Converted) -> h5py.Group:
    with converted.open() as file:
        runs = [run for run in file["general/nwbpipe"].values() if run.attrs["neurodata_type"] == "ProcessingRun"]
        assert len(runs) == 1
        outputs = [(output["name"], output["path"]) for output in json.loads(runs[0]["outputs"][()])]
        sources = json.loads(runs[0]["sources"][()])
    return {"outputs": outputs, "sources": sources}


def _check_every_source_left_data(converted: Converted, record: Any) -> None:
    """Each source of the spec has written at least one object that is in the file and holds samples or rows."""
    with converted.open() as file:
        for name in converted.sources():
            paths = [path for output, path in record["outputs"] if output.partition(": ")[0] == name]
            assert paths, f"the source {name} is in no output of the conversion's record"
            assert all(path in file for path in paths), f"{name}: the record names {paths}, and not all are there"
            held = {path: _samples(file[path]) for path in paths}
            assert any(held.values()), f"the source {name} left no data: {held}"


def _samples(item: Any) -> int:
    """Samples, rows or images below an object; devices, planes and electrodes hold none."""
    if isinstance(item, h5py.Dataset):
        return item.size if item.attrs.get("neurodata_type") in ("GrayscaleImage", "RGBImage") else 0
    kind = item.attrs.get("neurodata_type")
    if kind == "ImageSeries" and "external_file" in item:
        return len(item["external_file"])
    if kind in ("EventsTable", "Units", "TimeIntervals", "PlaneSegmentation"):
        return len(item["id"])
    if "data" in item and isinstance(item["data"], h5py.Dataset):
        return int(item["data"].size)
    return sum(_samples(child) for child in item.values() if isinstance(child, (h5py.Group, h5py.Dataset)))


def _check_raw_files_recorded(converted: Converted, record: Any) -> None:
    """The record names every source with the size and SHA-256 of its file; checked with hashlib."""
    assert {item["source"] for item in record["sources"]} >= set(converted.sources())
    for item in record["sources"]:
        assert item["path"].startswith("raw://")
        path = converted.raw / item["path"].removeprefix("raw://")
        if path.is_file():
            assert item["size"] == path.stat().st_size
            assert item["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def _check_no_path_of_this_machine(converted: Converted) -> None:
    content = converted.path.read_bytes()
    for folder in (converted.raw, converted.spec.parent, Path.home()):
        text = str(folder)
        assert len(text) < 5 or text.encode() not in content, f"{text} stands in the session file"
