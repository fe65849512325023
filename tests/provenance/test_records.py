"""Reading, adding and superseding run records."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import h5py
import pytest

from nwbpipe.errors import DamagedFileError, FileAccessError, InvalidResultError, UnsupportedFileError
from nwbpipe.provenance import add_record, find_current_record, mark_superseded
from nwbpipe.session import read_records
from tests.extensions.test_extension import append, session, write
from tests.provenance.records import START, make_record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "session.nwb", session())


def test_files_without_records(path: Path, tmp_path: Path) -> None:
    assert read_records(path) == []
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        assert read_records(file) == []
        file["general/nwbpipe"] = 1  # not ours
        assert read_records(file) == []


def test_what_is_no_file_or_no_hdf5(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="no such file"):
        read_records(tmp_path / "missing.nwb")
    (tmp_path / "text.nwb").write_text("no HDF5")
    with pytest.raises(UnsupportedFileError, match=r"text\.nwb"):
        read_records(str(tmp_path / "text.nwb"))


def test_a_damaged_record_is_named(path: Path) -> None:
    record = make_record()
    append(path, record)
    with h5py.File(path, "a") as file:
        del file[f"general/nwbpipe/{record.name}/parameters"]
    with pytest.raises(DamagedFileError, match=record.name):
        read_records(path)


def test_as_dict_is_whole_and_is_json() -> None:
    record = make_record()
    values = json.loads(json.dumps(record.as_dict(), allow_nan=False))
    assert type(record).from_dict(values) == record
    assert set(record.__dataclass_fields__) < set(values)
    assert values["superseded"] is False
    assert values["started"] == "2024-05-01T10:00:00.000000+00:00"
    assert values["inputs"][0]["path"] == "/acquisition/é"
    assert values["parameters"] == record.parameters


def test_times_are_written_in_utc_and_naive_ones_refused(path: Path) -> None:
    east = timezone(timedelta(hours=9))
    append(path, make_record(started=datetime(2024, 5, 1, 19, tzinfo=east)))
    (record,) = read_records(path)
    assert record.started == START
    assert record.started.utcoffset() == timedelta(0)
    with pytest.raises(InvalidResultError, match="no time zone"):
        add_record(session(), make_record(started=datetime(2024, 5, 1)))


def test_a_second_record_of_the_same_run_is_refused(path: Path) -> None:
    record = make_record()
    append(path, record)
    with pytest.raises(InvalidResultError, match=record.name):
        append(path, record)
    assert read_records(path) == [record]


def test_superseding_touches_the_step_only(path: Path) -> None:
    old, other, new = make_record(), make_record("dff", 1), make_record(minute=2)
    append(path, old, other)
    with h5py.File(path, "a") as file:
        assert mark_superseded(file, "suite2p_fast", new.run_id) == [f"/general/nwbpipe/{old.name}"]
    append(path, new)
    records = read_records(path)
    assert records == [replace(old, superseded_by=new.run_id), other, new]
    assert records[0].superseded
    assert find_current_record(records, "suite2p_fast") == new
    assert find_current_record(records, "dff") == other
    assert find_current_record(records, "none") is None
    with h5py.File(path, "a") as file:  # the first mark stays
        mark_superseded(file, "suite2p_fast")
        with pytest.raises(ValueError, match="by"):
            mark_superseded(file, "dff", "")
    records = read_records(path)
    assert [record.superseded_by for record in records] == [new.run_id, "", "removed"]
    assert find_current_record(records, "suite2p_fast") is None


def test_reading_records_imports_no_pynwb(path: Path) -> None:
    append(path, make_record())
    code = f"""
import sys
for name in ("pynwb", "hdmf", "pandas", "pydantic"):
    sys.modules[name] = None
from nwbpipe.session import read_records
print(len(read_records({str(path)!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


def test_records_of_classes_that_pynwb_made_up_are_refused(path: Path) -> None:
    append(path, make_record())
    code = f"""
from pynwb import NWBHDF5IO
from nwbpipe.errors import InvalidResultError
from nwbpipe.provenance import add_record
from tests.provenance.records import make_record
with NWBHDF5IO({str(path)!r}, "r") as io:
    try:
        add_record(io.read(), make_record())
    except InvalidResultError as error:
        print(error)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root)
    assert "nwbpipe.transaction" in done.stdout, done.stderr
