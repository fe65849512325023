"""Fuzz files of strangers: .npy headers and pickles, records in a session file, and the bytes of session files."""

from __future__ import annotations

import json
import pickle
import shutil
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynwb import NWBHDF5IO, TimeSeries

from nwbpipe import session
from nwbpipe.errors import DamagedFileError
from nwbpipe.foreign import (
    DamagedPickleError,
    ForbiddenPickleError,
    load_array,
    load_pickled_dict,
    load_pickled_dicts,
    read_pickle,
)
from nwbpipe.provenance import find_record_fault, read_alignments, read_records, write_record
from nwbpipe.provenance._write_records import write_text
from nwbpipe.session import find_result_faults
from tests.faults.fuzzing import (
    ODD,
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
from tests.fixtures.nwb import empty_session
from tests.provenance.records import make_record

# Arrays and pickles ------------------------------------------------------------------------------------------


def _save(value: Any) -> bytes:
    stream = BytesIO()
    np.save(stream, value, allow_pickle=True)
    return stream.getvalue()


ROI = {
    "ypix": np.arange(3),
    "lam": np.ones(3, "f4"),
    "med": [1, 2.5],
    "name": "x",
    "file": Path("a/b"),
    "n": np.int64(3),
}
ARRAYS = [
    _save(np.arange(6.0).reshape(2, 3)),
    _save(np.array([("a", 1)], dtype=[("t", "<U4"), ("n", ">i2")])),
    _save(np.array(ROI | {"nested": [ROI, {"a": (1, None, True)}], "big": 2**70})),
    _save(np.array([ROI, ROI], dtype=object)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@fuzz(200, 2000)
@given(number=st.integers(0, 3), changes=byte_edits)
def test_arrays(folder: Path, number: int, changes: Edits) -> None:
    (folder / "a.npy").write_bytes(edit_bytes(ARRAYS[number], changes))
    with limited_memory():
        for read in (load_array, load_pickled_dict, load_pickled_dicts):
            with held_to_promise():
                read(folder / "a.npy")


@fuzz(200, 2000)
@given(protocol=st.integers(0, pickle.HIGHEST_PROTOCOL), changes=byte_edits)
def test_pickles(protocol: int, changes: Edits) -> None:
    data = edit_bytes(pickle.dumps([ROI, {"a": {1, 2}, "b": b"x" * 300, "c": "é" * 300}], protocol), changes)
    with limited_memory(), held_to_promise(), suppress(DamagedPickleError, ForbiddenPickleError):
        read_pickle(data)


# Records -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(folder: Path) -> Path:
    with h5py.File(folder / "records.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.8.0"
        file["processing/behavior/x"] = np.arange(3)
        write_record(file, make_record())
        write_record(file, make_record("other"))
    return folder / "records.nwb"


def _write_odd(group: h5py.Group, name: str, value: Any, *, attribute: bool) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**62:
        value = float(value)
    if value is None or isinstance(value, list | dict):
        value = h5py.Empty("f8") if value in (None, [], {}) else str(value)
    if isinstance(value, str):
        value = np.bytes_(value.replace("\0", "").encode())
    if attribute:
        group.attrs[name] = value
    else:
        del group[name]
        group[name] = value


@fuzz(60, 1000)
@given(edits=st.lists(st.tuples(st.integers(0, 60), st.sampled_from(ODD)), min_size=1, max_size=3))
def test_records(recorded: Path, folder: Path, edits: list[tuple[int, Any]]) -> None:
    shutil.copy(recorded, folder / "b.nwb")
    with h5py.File(folder / "b.nwb", "r+") as file:
        runs = file["general/nwbpipe"]
        group = runs[sorted(runs)[0]]
        places = [(name, True) for name in sorted(group.attrs)] + [(name, False) for name in sorted(group)]
        for place, value in edits:
            name, attribute = places[place % len(places)]
            _write_odd(group, name, value, attribute=attribute)
    _read_as_check_does(folder)


@fuzz(60, 1000)
@given(changes=edits)
def test_texts_of_records(recorded: Path, folder: Path, changes: list[Edit]) -> None:
    shutil.copy(recorded, folder / "b.nwb")
    with h5py.File(folder / "b.nwb", "r+") as file:
        runs = file["general/nwbpipe"]
        group = runs[sorted(runs)[0]]
        texts = {name: json.loads(group[name][()]) for name in group}
        for name, value in edit_tree(texts, changes).items():
            if name in group:
                write_text(group, name, json.dumps(value))
    _read_as_check_does(folder)


def _read_as_check_does(folder: Path) -> None:
    with held_to_promise(folder), h5py.File(folder / "b.nwb") as file:
        read_alignments(file)
        for record in read_records(file):
            find_record_fault(record)
            find_result_faults(file, record)
            record.as_dict()


def test_two_objects_with_one_id_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.nwb"
    nwbfile = empty_session("twice")
    nwbfile.add_acquisition(TimeSeries(name="position", data=np.arange(20.0), unit="m", rate=10.0))
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    with h5py.File(path, "r+") as file:
        file.copy("acquisition/position", file["acquisition"], name="copy")
    assert any("one object id" in finding.what for finding in session.check(path).findings)
    with pytest.raises(DamagedFileError, match="already in this dict"), session.transaction(path):
        pass
