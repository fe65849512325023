"""Whole, interrupted, damaged and foreign files are told apart, by a reader that may hang or crash."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe import errors
from nwbpipe.files import FileCondition, hold_lock, inspect_file, repair_file


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(10_000.0)
        file.create_dataset("y", data=np.arange(1000), chunks=(100,), compression="gzip")
        file["z"] = "text"
    return path


def test_a_whole_file(whole: Path) -> None:
    before = whole.read_bytes()
    found = inspect_file(whole)
    assert (found.state, found.reason, found.dangling, found.leftovers) == (FileCondition.WHOLE, "", (), ())
    assert found.reclaimable is not None
    assert found.reclaimable < 20_000
    assert whole.read_bytes() == before
    assert [one.name for one in whole.parent.iterdir()] == ["a.h5"]


def test_space_that_is_lost_is_counted(whole: Path) -> None:
    before = inspect_file(whole).reclaimable
    with h5py.File(whole, "r+") as file:
        file["big"] = np.zeros(200_000)
        file["after"] = 1
    with h5py.File(whole, "r+") as file:
        del file["big"]
    after = inspect_file(whole).reclaimable
    assert before is not None
    assert after is not None
    assert 1_590_000 <= after - before <= 1_620_000


@pytest.mark.parametrize("left", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_damaged(whole: Path, left: float) -> None:
    with whole.open("r+b") as file:
        file.truncate(int(whole.stat().st_size * left))
    assert inspect_file(whole).state is FileCondition.DAMAGED


@pytest.mark.parametrize("data", [b"", b"not HDF5 at all" * 1000])
def test_what_is_not_hdf5_is_foreign(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(data)
    assert inspect_file(path).state is FileCondition.FOREIGN


def test_rubbish_behind_a_signature_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\xa5" * 5000)
    assert inspect_file(path).state is FileCondition.DAMAGED


def test_a_reader_that_hangs_or_crashes_says_damaged(whole: Path) -> None:
    hangs = (sys.executable, "-c", "import time; time.sleep(60)")
    found = inspect_file(whole, timeout=0.5, probe=hangs)
    assert (found.state, found.reason) == (FileCondition.DAMAGED, "its reader did not end within 0.5 s")
    crashes = (sys.executable, "-c", "import os; os.abort()")
    assert inspect_file(whole, probe=crashes).state is FileCondition.DAMAGED


def test_links_and_references_to_nothing_are_named(whole: Path) -> None:
    with h5py.File(whole, "r+") as file:
        file["reference"] = np.array([file["x"].ref], dtype=h5py.ref_dtype)
        file["soft"] = h5py.SoftLink("/nowhere")
        file["good"] = h5py.SoftLink("/y")
        file.create_dataset("none", (2,), dtype=h5py.ref_dtype)
        del file["x"]
    assert inspect_file(whole).dangling == ("/reference", "/soft")


def test_a_writer_at_work_and_what_dead_ones_left(whole: Path) -> None:
    partial = whole.with_name(".a.h5.1-0123abcd.partial")
    partial.write_bytes(b"half")
    with hold_lock(whole):
        assert inspect_file(whole).state is FileCondition.BUSY
        with pytest.raises(errors.LockedFileError):
            repair_file(whole, lock_timeout=0.1)
    found = inspect_file(whole)
    assert (found.state, found.leftovers) == (FileCondition.WHOLE, (partial.name,))
    assert repair_file(whole) == (f"{partial.name} was removed",)
    assert not partial.exists()
    assert repair_file(whole) == ()


def test_an_interrupted_commit_is_seen_and_repaired(whole: Path) -> None:
    journal = whole.with_name(".a.h5.journal")
    journal.write_bytes(b"")  # it had only been created
    assert inspect_file(whole).state is FileCondition.INTERRUPTED
    assert repair_file(whole) == ("an interrupted commit was finished or taken back",)
    assert inspect_file(whole).state is FileCondition.WHOLE


def test_a_damaged_journal_is_refused_and_kept(whole: Path) -> None:
    journal = whole.with_name(".a.h5.journal")
    journal.write_bytes(b"x" * 5000)
    with pytest.raises(errors.DamagedFileError):
        repair_file(whole)
    assert journal.exists()


def test_a_missing_file(tmp_path: Path) -> None:
    for look in (inspect_file, repair_file):
        with pytest.raises(errors.FileAccessError, match="no such file"):
            look(tmp_path / "none.h5")
