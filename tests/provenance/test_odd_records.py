"""Records of other programs, with values of odd types: an error of nwbpipe or a right reading, never another one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.errors import DamagedFileError, NwbpipeError
from nwbpipe.provenance import find_record_fault, read_current_record, read_records, write_record
from nwbpipe.provenance._records import OBJECT_FIELDS
from nwbpipe.provenance._write_records import write_text
from nwbpipe.session import SessionFile, find_result_faults
from nwbpipe.session._remove import check_written
from tests.provenance.records import change_object, make_record

ATTRIBUTES = {
    "an integer": 7,
    "a float": np.float64("nan"),
    "an array": np.arange(3),
    "texts": np.array(["a", "b"], dtype=h5py.string_dtype()),
    "nothing": h5py.Empty("f8"),
    "bytes": np.bytes_(b"\xff\xfe"),
    "a compound": np.zeros((), dtype=[("a", "i4")]),
    "a time of the year 1": "0001-01-01T00:00:00+23:59",
    "a time without zone": "2024-05-01T10:00:00",
}
TEXTS = {
    "a list": "[1, 2]",
    "a number": "1e999",
    "NaN": '{"tau": NaN}',
    "null": "null",
    "deep": "[" * 100_000,
    "no JSON": "{",
    "a mapping of lists": '{"same as run": ["x"]}',
    "another run's packages": '{"same as run": "ffffffff"}',
    "an empty text": "",
}
PATHS = {
    "empty": "", "the root": "/", "a dot": ".", "above": "/processing/../acquisition", "long": "/" + "x" * 300,
    "relative": "processing/behavior", "a control character": "/processing/\x1b[2J", "a null": "/processing\0x",
    "half of a pair": "/processing/\ud800",
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> h5py.File:
    with h5py.File(tmp_path / "session.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.8.0"
        write_record(file, make_record())
        write_record(file, make_record("other"))
        yield file


def group_of(file: h5py.File) -> h5py.Group:
    runs = file["general/nwbpipe"]
    return next(runs[name] for name in runs if name.startswith("suite2p_fast"))


def read_all(file: h5py.File) -> None:
    """Read the records in each way that a command does."""
    for read in (lambda: read_records(file), lambda: [read_current_record(file, "suite2p_fast")]):
        try:
            records = read()
        except NwbpipeError:
            continue
        for record in filter(None, records):
            find_record_fault(record)
            find_result_faults(file, record)
            with contextlib.suppress(NwbpipeError):
                check_written(file, record)
    assert read_current_record(file, "other") is not None  # a record of another step is no obstacle


@pytest.mark.parametrize("value", ATTRIBUTES)
def test_attributes(file: h5py.File, value: str) -> None:
    group = group_of(file)
    for name in list(group.attrs):
        old = group.attrs[name]
        group.attrs[name] = ATTRIBUTES[value]
        read_all(file)
        group.attrs[name] = old
    del group.attrs["seed"]
    read_all(file)


@pytest.mark.parametrize("superseded", ["", "removed"])
@pytest.mark.parametrize("value", TEXTS)
def test_datasets(file: h5py.File, value: str, superseded: str) -> None:
    group = group_of(file)
    group.attrs["superseded_by"] = superseded
    for name in list(group):
        old = group[name][()].decode()
        write_text(group, name, TEXTS[value] or " ")
        read_all(file)
        write_text(group, name, old)


@pytest.mark.parametrize("superseded", ["", "removed"])
@pytest.mark.parametrize("value", PATHS)
def test_fields_of_inputs_and_outputs(file: h5py.File, value: str, superseded: str) -> None:
    group = group_of(file)
    group.attrs["superseded_by"] = superseded
    for kind in ("input", "output"):
        for field in OBJECT_FIELDS:
            old = group[f"{kind}s"][()].decode()
            change_object(group, kind, **{field: PATHS[value]})
            read_all(file)
            write_text(group, f"{kind}s", old)


@pytest.mark.parametrize(
    "make",
    [
        lambda group, name: group.create_group(name),
        lambda group, name: group.create_dataset(name, data=np.arange(4)),
        lambda group, name: group.create_dataset(name, data=h5py.Empty("f8")),
        lambda group, name: group.create_dataset(name, data=["a"] * 3, dtype=h5py.string_dtype()),
        lambda group, name: group.create_dataset(name, data=[["a"]], dtype=h5py.string_dtype()),
        lambda group, name: group.__setitem__(name, h5py.SoftLink("/nowhere")),
        lambda group, name: group.__setitem__(name, h5py.SoftLink("/general")),
        lambda group, name: None,
    ],
    ids=["group", "numbers", "null", "more", "2-D", "dangling", "link", "missing"],
)
def test_other_objects_in_the_place_of_datasets(file: h5py.File, make: Callable[[h5py.Group, str], object]) -> None:
    group = group_of(file)
    for name in list(group):
        group.move(name, "held")
        make(group, name)
        read_all(file)
        if name in group or group.get(name, getlink=True) is not None:
            del group[name]
        group.move("held", name)


def test_the_whole_record_is_another_object(file: h5py.File) -> None:
    name = group_of(file).name
    del file[name]
    for value in (np.arange(3), "text"):
        file[name] = value
        read_all(file)
        del file[name]
    file[name] = h5py.SoftLink("/nowhere")
    read_all(file)
    assert [record.step for record in read_records(file)] == ["other"]


def test_a_list_of_packages_that_many_runs_share_is_written_once(file: h5py.File) -> None:
    packages = {f"package{number}": "1.0" for number in range(100)}
    first, second = make_record("first", packages=packages), make_record("second", 1, packages=packages)
    write_record(file, first)
    write_record(file, second)
    assert read_records(file)[-1] in (first, second)
    assert read_current_record(file, "second") == second
    assert not find_record_fault(read_current_record(file, "second") or first)
    stored = [len(group["packages"][()]) for group in file["general/nwbpipe"].values()]
    assert sum(size > 1000 for size in stored) == 1
    del file[f"general/nwbpipe/{first.name}"]
    orphan = read_current_record(file, "second")
    assert orphan is not None
    assert find_record_fault(orphan)


def test_a_damaged_record_is_named(file: h5py.File) -> None:
    group_of(file).attrs["revision"] = "two"
    with pytest.raises(DamagedFileError, match="suite2p_fast"):
        read_records(file)
    assert SessionFile.at(file.filename)
