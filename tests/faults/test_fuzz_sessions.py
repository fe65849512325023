"""Fuzz the bytes of session files: each mutant is looked at and changed in a child with limits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynwb import NWBHDF5IO, TimeSeries

from nwbpipe import files, session
from nwbpipe.files import _check, _probe
from nwbpipe.provenance import write_record
from nwbpipe.session import SessionFile
from tests.faults.fuzzing import Edits, byte_edits, call_in_fork, edit_bytes, fuzz, held_to_promise
from tests.fixtures.nwb import empty_session
from tests.provenance.records import make_record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sessions")


@pytest.fixture(scope="module")
def originals(folder: Path) -> list[Path]:
    """Small session files with run records: with and without the schemas that pynwb keeps in them."""
    paths = []
    for cache in (False, True):
        path = folder / f"s{cache}.nwb"
        nwbfile = empty_session("fuzzed")
        nwbfile.add_acquisition(TimeSeries(name="position", data=np.arange(200.0), unit="m", rate=10.0))
        nwbfile.add_trial(start_time=0.0, stop_time=1.0)
        with NWBHDF5IO(path, "w") as io:
            io.write(nwbfile, cache_spec=cache)
        with h5py.File(path, "r+") as file:
            write_record(file, make_record())
        shutil.copy(path, folder / "first.nwb")
        _look(folder / "first.nwb")  # imports and caches
        paths.append(path)
    return paths


def _inspect_here(target: str, size: int, left: tuple[str, ...], *_: Any) -> files.Inspection:
    """Look as `files.inspect_file` does, in this process, which is a child with limits already."""
    state = files.FileCondition
    try:
        answer = _probe.probe(target)
    except Exception as error:
        return files.Inspection(state.DAMAGED, str(error), size, None, (), left)
    if answer.get("dangers"):
        return files.Inspection(state.UNSAFE, "", size, None, (), left)
    return files.Inspection(state.WHOLE, "", size, 0, tuple(answer["dangling"]), left)


def _look(path: Path) -> None:
    """Do with a session file what `log`, `check --deep`, `process` and a commit do."""
    _check._probe_in_process = _inspect_here
    before = path.read_bytes()
    with held_to_promise(path.parent):
        SessionFile.at(path).read(lambda reader: (reader.records, session.list_nwb_objects(reader.file)))
    with held_to_promise(path.parent):
        session.check(path, deep=True).as_dict()
    assert path.read_bytes() == before
    with held_to_promise(path.parent):
        with session.transaction(path) as nwbfile:
            nwbfile.add_acquisition(TimeSeries(name="new", data=[1.0, 2.0], unit="m", rate=1.0))
        with session.read(path) as nwbfile:
            assert list(nwbfile.acquisition["new"].data[:]) == [1.0, 2.0]


@fuzz(20, 1200)
@given(schemas=st.booleans(), changes=byte_edits, moved=st.sampled_from([False, False, False, True]))
def test_session_files(folder: Path, originals: list[Path], schemas: bool, changes: Edits, moved: bool) -> None:
    if os.name == "nt" or not hasattr(os, "fork"):
        pytest.skip("needs fork")
    data = originals[schemas].read_bytes()
    mutants = Path(folder, "mutants")
    shutil.rmtree(mutants, ignore_errors=True)
    mutants.mkdir()
    (mutants / "m.nwb").write_bytes(edit_bytes(data, changes, keep_length=not moved))
    assert call_in_fork(lambda: _look(mutants / "m.nwb")) == ""
    assert {path.name for path in mutants.iterdir()} <= {"m.nwb", ".m_nwb.lock"}


@pytest.fixture(scope="module", autouse=True)
def probe() -> Iterator[None]:
    old = _check._probe_in_process
    yield
    _check._probe_in_process = old
