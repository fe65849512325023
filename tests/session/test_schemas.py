"""The types by which a file is read: those of schemas that are not loaded are read once for all files alike."""

from __future__ import annotations

import json
from copy import copy as copy_types
from pathlib import Path
from typing import Any

import h5py
import pytest
from pynwb import NWBHDF5IO, get_type_map

from nwbpipe.session import _schemas, _validation


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Calls by which schemas are read from files."""
    calls: list[object] = []
    read = NWBHDF5IO.load_namespaces

    def count(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return read(*args, **options)

    monkeypatch.setattr(_schemas, "_KNOWN_TYPES", {})
    monkeypatch.setattr(NWBHDF5IO, "load_namespaces", count)
    return calls


def add_schema(path: Path, doc: str = "of a lab", name: str = "ndx-lab") -> None:
    """Add a schema that no process has loaded."""
    namespace = {"doc": doc, "name": name, "version": "0.1.0", "author": ["Jane"], "contact": ["jane@lab.org"]}
    schema = [{"namespace": "core"}, {"source": name}]
    kind = {"neurodata_type_def": "LabNotes", "neurodata_type_inc": "LabMetaData", "name": "notes", "doc": "notes"}
    with h5py.File(path, "r+") as file:
        group = file.create_group(f"specifications/{name}/0.1.0")
        group["namespace"] = json.dumps({"namespaces": [{**namespace, "schema": schema}]})
        group[name] = json.dumps({"groups": [kind]})


def load(path: Path) -> Any:
    with h5py.File(path, "r") as file:
        return _schemas.load_types(file)


def test_what_is_installed_is_not_read(session_nwb: Path, counted: list[object]) -> None:
    assert load(session_nwb) is get_type_map(copy=False)
    assert counted == []


def test_another_schema_is_read_once(session_nwb: Path, counted: list[object]) -> None:
    add_schema(session_nwb)
    types = load(session_nwb)
    assert types.namespace_catalog.get_namespace("ndx-lab").version == "0.1.0"
    assert "ndx-lab" not in get_type_map(copy=False).namespace_catalog.namespaces
    assert load(session_nwb) is types
    assert len(counted) == 1


def test_a_schema_of_another_text_is_read(tmp_path: Path, session_bytes: bytes, counted: list[object]) -> None:
    found = []
    for doc in ("of a lab", "of another lab"):
        path = tmp_path / f"{doc}.nwb"
        path.write_bytes(session_bytes)
        add_schema(path, doc)
        found.append(load(path).namespace_catalog.get_namespace("ndx-lab").doc)
    assert found == ["of a lab", "of another lab"]
    assert len(counted) == 2


def test_what_is_loaded_meanwhile_is_taken(
    tmp_path: Path, session_bytes: bytes, counted: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {name: tmp_path / f"{name}.nwb" for name in ("ndx-lab", "ndx-other")}
    for name, path in paths.items():
        path.write_bytes(session_bytes)
        add_schema(path, name=name)
    load(paths["ndx-lab"])
    installed = load(paths["ndx-other"])  # as if its package had been imported
    monkeypatch.setattr("pynwb.get_type_map", lambda *, copy=True: copy_types(installed) if copy else installed)
    assert {*paths} <= set(load(paths["ndx-lab"]).namespace_catalog.namespaces)
    assert load(paths["ndx-other"]) is installed


def test_what_another_thread_drops_meanwhile_is_there_for_its_reader(
    session_nwb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_schema(session_nwb)
    for module in (_schemas, _validation):
        monkeypatch.setattr(module, "keep", lambda *_: None)
    monkeypatch.setattr(_schemas, "_KNOWN_TYPES", {})
    monkeypatch.setattr(_validation, "_KNOWN_SCHEMAS", {})
    assert "ndx-lab" in load(session_nwb).namespace_catalog.namespaces
    with h5py.File(session_nwb, "r") as file:
        assert _validation._load_schemas(file)[1]


def test_no_more_than_a_few_are_kept() -> None:
    known: dict[int, str] = {}
    for number in range(20):
        _schemas.keep(known, number, "types")
    assert list(known) == list(range(12, 20))
