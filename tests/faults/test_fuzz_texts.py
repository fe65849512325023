"""Fuzz the texts that come from elsewhere: session.yaml, nwbpipe.toml, parameters, curations, labels, tables."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given

from nwbpipe.converters import load_spec, summarize_spec
from nwbpipe.converters.spec import read_project_file
from nwbpipe.errors import NwbpipeError, SourceError, SpecError, show_text
from nwbpipe.foreign import read_literals
from nwbpipe.project import Project, load_project
from nwbpipe.review import read_labels
from nwbpipe.review._unit_curation import apply_curation, read_unit_curation
from nwbpipe.stores import match_path
from tests.faults.fuzzing import (
    Edit,
    Edits,
    byte_edits,
    edit_bytes,
    edit_tree,
    edits,
    fuzz,
    held_to_promise,
    limited_memory,
)

SPEC: dict[str, Any] = {
    "nwbpipe": 1,
    "extends": ["lab.yaml"],
    "subject": {"subject_id": "m1", "species": "Mus musculus", "sex": "F", "age": "P90D", "weight": "0.02 kg"},
    "session": {
        "session_id": "a", "session_start_time": "2024-05-01T10:00:00+00:00", "session_description": "x",
        "experimenter": ["Doe, Jane"], "keywords": ["a", "b"],
    },
    "reference_clock": "events",
    "sources": {
        "events": {
            "interface": "BehaviorEventsInterface",
            "args": {"file_path": "events.csv", "time_column": "time", "name_column": "name"},
            "options": {"stub_test": False},
        },
        "trials": {"interface": "TrialsInterface", "args": {"file_path": "events.csv"}, "clock": "other"},
        "camera": {
            "interface": "ExternalVideoInterface", "args": {"file_paths": ["a.avi"]}, "options": {"video": "link"},
        },
    },
    "clocks": {
        "other": {"align": "start", "offset_s": 0.97},
        "camera": {
            "align": "pulses", "pulses": {"source": "events", "name": "a"},
            "reference_pulses": {"source": "trials", "name": "b"}, "tolerance_s": 0.001,
        },
    },
    "metadata": {"Subject": {"strain": "C57"}, "Ophys": {"Device": [{"name": "scope"}]}, "NWBFile": {"lab": "x"}},
}  # fmt: skip
PROJECT: dict[str, Any] = {
    "nwbpipe": 1,
    "project": {
        "name": "lab", "sessions": "raw://**/session.yaml", "output": "nwb://sub-{subject_id}_{session_id}.nwb",
        "raw_identity": "full", "tool_versions": "minor",
    },
    "stores": {"raw": "raw", "nwb": "nwb", "state": "state"},
    "profiles": {"cluster": {"stores": {"raw": "/data/raw"}}},
    "steps": {
        "wheel": {"processor": "wheel", "params": {"rate_hz": 100.0}, "inputs": {"position": "acquisition/pos*"}},
        "slow": {"extends": "wheel", "sweep": {"rate_hz": [1.0, 2.0]}, "resources": {"cpu": 1, "memory_gb": 2}},
        "pca": {"processor": "shared_pca", "scope": "project"},
        "sort": {"processor": "spikesorting", "primary": True, "params": {"sorter": "simple"}},
    },
    "tools": {"caiman": {"python": "/opt/python"}},
    "ignore": [{"session": "m1/*", "steps": ["sort"], "reason": "loose"}],
    "executor": {"kind": "local", "workers": 2, "options": {}},
}  # fmt: skip
CURATIONS: list[dict[str, Any]] = [
    {
        "format_version": "2", "unit_ids": ["1", "2", "3", "4"],
        "manual_labels": [{"unit_id": "1", "labels": {"quality": ["good"]}}, {"unit_id": "2", "quality": ["noise"]}],
        "merges": [{"unit_ids": ["1", "2"], "new_unit_id": "9"}],
        "splits": [
            {"unit_id": "3", "mode": "indices", "indices": [[0, 1], [2]], "new_unit_ids": ["a", "b"]},
        ],
        "removed": ["4"],
    },
    {
        "format_version": "2", "unit_ids": ["1", "2", "3", "4"],
        "splits": [{"unit_id": "4", "mode": "labels", "labels": [0, 0, 1, 1]}], "merges": [], "removed": [],
    },
    {
        "format_version": "1", "unit_ids": [1, 2, 3, 4], "manual_labels": [{"unit_id": 1, "quality": ["good"]}],
        "merge_unit_groups": [[1, 2]], "removed_units": [3],
    },
    {"labelsByUnit": {"1": ["good"], "2": ["noise"]}, "mergeGroups": [["1", "2"]]},
]  # fmt: skip


def to_toml(value: Any) -> str:
    """Write a value as TOML, inline."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(str(k))} = {to_toml(v)}" for k, v in value.items() if v is not None)
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(to_toml(item) for item in value if item is not None)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        return hex(value)
    return json.dumps(value)


def write_toml(tree: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(str(key))} = {to_toml(value)}\n" for key, value in tree.items() if value is not None)


@pytest.fixture(scope="module", autouse=True)
def limits() -> Iterator[None]:
    with limited_memory():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for name in ("raw/m1", "nwb", "state"):
        (folder / name).mkdir(parents=True)
    for place in (folder, folder / "raw/m1"):
        (place / "lab.yaml").write_text("session: {lab: Lab}\n")
        (place / "events.csv").write_text("time,name\n0.5,lick\n1.5,lick\n")
        (place / "a.avi").write_bytes(b"")
    (folder / "raw/m1/session.yaml").write_text(yaml.safe_dump(SPEC))
    with suppress(NwbpipeError):  # imports the readers, which write caches of their own
        load_spec(folder / "raw/m1/session.yaml")
    return folder


# Known ones ---------------------------------------------------------------------------------------------------


def test_no_text_takes_for_ever(tmp_path: Path) -> None:
    """Patterns of ours that look again at what they have seen would take minutes to hours for each of these."""
    text = 'a = {b = """\n[' + " " * 200_000 + "x\n" + '"\\' * 100_000 + '\n"""}\nnwbpipe = 9\n'
    (tmp_path / "nwbpipe.toml").write_text(text.replace('"\\' * 100_000, '"\\\\' * 100_000))
    start = time.process_time()
    with pytest.raises(SpecError):
        load_project(tmp_path)
    assert "…" in show_text("://" * 400_000 + "?x")
    assert not match_path("/".join("a" * 60), "/".join(["**", "a"] * 14 + ["b"]))
    assert match_path("/".join("a" * 60) + "/b", "/".join(["**", "a"] * 14 + ["b"]))
    assert time.process_time() - start < 5


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000, "\0", "a = 1\ra = 2"])
def test_a_project_file_that_is_not_toml(tmp_path: Path, text: str) -> None:
    (tmp_path / "nwbpipe.toml").write_text(text)
    with pytest.raises(SpecError, match="is not TOML"):
        load_project(tmp_path)


def test_a_project_file_is_a_regular_file_of_a_bounded_size(tmp_path: Path) -> None:
    (tmp_path / "nwbpipe.toml").symlink_to("/dev/zero")
    with pytest.raises(NwbpipeError, match="a device"):
        read_project_file(tmp_path / "nwbpipe.toml")
    (tmp_path / "nwbpipe.toml").unlink()
    (tmp_path / "nwbpipe.toml").write_bytes(b"#" * 4_000_002)
    with pytest.raises(SpecError, match="too large"):
        load_project(tmp_path)


@pytest.mark.parametrize("roi", ["9" * 5000, "²", "-1"])
def test_a_label_of_no_roi_is_named(tmp_path: Path, roi: str) -> None:
    (tmp_path / "a.csv").write_text(f"roi,label\n{roi},cell\n", encoding="utf-8")
    with pytest.raises(SourceError, match="number of an ROI"):
        read_labels(tmp_path / "a.csv")


def test_labels_without_a_column_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "iscell.npy", np.zeros((3, 0)))
    with pytest.raises(SourceError, match="not an iscell"):
        read_labels(tmp_path / "iscell.npy")


# Mutants ------------------------------------------------------------------------------------------------------


@fuzz(80, 2500)
@given(changes=edits)
def test_specs(folder: Path, changes: list[Edit]) -> None:
    (folder / "session.yaml").write_text(yaml.safe_dump(edit_tree(SPEC, changes)))
    for read in (load_spec, summarize_spec):
        with held_to_promise():
            read(folder / "session.yaml")


@fuzz(40, 1000)
@given(changes=byte_edits)
def test_bytes_of_specs(folder: Path, changes: Edits) -> None:
    (folder / "session.yaml").write_bytes(edit_bytes(yaml.safe_dump(SPEC).encode(), changes))
    with held_to_promise():
        load_spec(folder / "session.yaml")


@fuzz(60, 2000)
@given(changes=edits)
def test_project_files(folder: Path, changes: list[Edit]) -> None:
    tree = edit_tree(PROJECT, changes)
    (folder / "nwbpipe.toml").write_text(write_toml(tree))
    with held_to_promise():
        load_project(folder)
        if tree["stores"] == PROJECT["stores"] and "models" not in repr(changes):
            Project(folder).sessions()


@fuzz(40, 1000)
@given(changes=byte_edits)
def test_bytes_of_project_files(folder: Path, changes: Edits) -> None:
    (folder / "nwbpipe.toml").write_bytes(edit_bytes(write_toml(PROJECT).encode(), changes))
    with held_to_promise():
        load_project(folder)


@fuzz(60, 1200)
@given(changes=edits)
@pytest.mark.parametrize("number", range(4))
def test_curations(folder: Path, number: int, changes: list[Edit]) -> None:
    (folder / "curation.json").write_text(json.dumps(edit_tree(CURATIONS[number], changes)))
    with held_to_promise():
        curation = read_unit_curation(folder / "curation.json")
        json.dumps(curation.as_dict())
        apply_curation(curation, ["1", "2", "3", "4"], [2, 1, 3, 4], np.array([2, 3, 6, 10]))


@fuzz(40, 400)
@given(changes=byte_edits)
def test_bytes_of_curations_labels_and_settings(folder: Path, changes: Edits) -> None:
    good = {
        "a.json": json.dumps(CURATIONS[0]), "a.csv": "roi,label\n0,cell\n1,noise\n",
        "units.csv": "unit,label\n1,good\n2,noise\n", "params.py": "path = 'x.dat'\nr = range(3)\nf = -1.\n",
    }  # fmt: skip
    for name, text in good.items():
        (folder / name).write_bytes(edit_bytes(text.encode(), changes))
    for read, name in (
        (read_unit_curation, "a.json"), (read_labels, "a.csv"), (read_unit_curation, "units.csv"),
        (read_literals, "params.py"),
    ):  # fmt: skip
        with held_to_promise():
            read(folder / name)
