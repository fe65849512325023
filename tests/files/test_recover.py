"""An interrupted commit is finished or taken back, whoever opens the file; what is not ours is refused."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.errors import DamagedFileError, FileAccessError, LockedFileError
from nwbpipe.files import create_atomically, hold_lock, read_settled, recover, transaction
from nwbpipe.files._change_in_place import open_journaled
from nwbpipe.files._journal import HEADER_SIZE, journal_path
from nwbpipe.files._os import System
from nwbpipe.session import SessionFile
from tests.faults.systems import Killed
from tests.files.helpers import WAITING, child, unprivileged, wait_for_line


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = np.arange(1000)
    return path


class Stops(System):
    """Dies, or fails for good, at its sync of a number: 1 header, 2 tail, 3 seal, 4 blank signature, 5 pages."""

    def __init__(self, at: int, how: BaseException) -> None:
        self.left, self.how = at, how

    def sync(self, descriptor: int) -> None:
        self.left -= 1
        if self.left <= 0:
            raise self.how
        super().sync(descriptor)

    def sync_data(self, descriptor: int) -> None:
        self.sync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        pass


def interrupt(path: Path, after: str) -> None:
    """Kill a commit that sets /x: "tail" before the journal is sealed, "seal", or "blank" after it."""
    system = Stops({"tail": 2, "seal": 3, "blank": 4}[after], Killed())
    with pytest.raises(Killed), hold_lock(path), open_journaled(path, lock_timeout=1, system=system) as file:
        file["x"] = np.arange(10_000)
    assert journal_path(path).exists()


def test_the_moments_are_what_they_are_called(path: Path) -> None:
    sizes = {}
    for moment in ("tail", "seal", "blank"):
        copy = path.with_name(moment)
        shutil.copy(path, copy)
        interrupt(copy, moment)
        sizes[moment] = journal_path(copy).stat().st_size
        assert h5py.is_hdf5(copy) == (moment != "blank")
    assert sizes["tail"] == HEADER_SIZE < sizes["seal"] == sizes["blank"]


@pytest.mark.parametrize("moment", ["tail", "seal", "blank"])
def test_recover(path: Path, moment: str) -> None:
    before = path.read_bytes()
    interrupt(path, moment)
    recover(path)
    assert not journal_path(path).exists()
    if moment == "tail":
        assert path.read_bytes() == before
    with h5py.File(path) as file:
        assert ("x" in file) == (moment != "tail")
        np.testing.assert_array_equal(file["raw"], np.arange(1000))
    recover(path)  # nothing to do


def use_transaction(path: Path) -> None:
    with transaction(path) as file:
        assert "x" in file


def use_read(path: Path) -> None:
    with nwbpipe.read(path):
        pass


def use_check(path: Path) -> None:
    SessionFile.at(path).snapshot()


def use_hdf5(path: Path) -> None:
    with SessionFile.at(path).open() as reader:
        assert "x" in reader.file


def use_create(path: Path) -> None:
    with create_atomically(path, overwrite=True) as building, h5py.File(building, "w") as file:
        file["x"] = 0
    assert not journal_path(path).exists()


@pytest.mark.parametrize("use", [use_transaction, use_read, use_check, use_hdf5, use_create])
def test_every_way_to_the_file_recovers_it(session_nwb: Path, use: Callable[[Path], None]) -> None:
    interrupt(session_nwb, "blank")
    use(session_nwb)
    with h5py.File(session_nwb) as file:
        assert "x" in file
    assert not journal_path(session_nwb).exists()


def refused(path: Path, what: str) -> None:
    """Recovery refuses, and changes nothing."""
    before, journal = path.read_bytes(), journal_path(path).read_bytes()
    for use in (recover, use_transaction, use_check):
        with pytest.raises(DamagedFileError, match=what) as caught:
            use(path)
        assert str(path) in str(caught.value)
    assert (path.read_bytes(), journal_path(path).read_bytes()) == (before, journal)


def test_the_journal_of_another_file(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.h5"
    shutil.copy(path, other)
    interrupt(other, "seal")
    journal_path(other).rename(journal_path(path))
    refused(path, "another file")


@pytest.mark.parametrize("place", [3, HEADER_SIZE + 200])
def test_a_damaged_journal_of_a_file_that_needs_it(path: Path, place: int) -> None:
    interrupt(path, "blank")
    data = bytearray(journal_path(path).read_bytes())
    data[place] ^= 255
    journal_path(path).write_bytes(data)
    refused(path, "damaged")


def test_a_foreign_change_after_the_seal(path: Path) -> None:
    interrupt(path, "seal")
    with h5py.File(path, "r+") as file:
        file["theirs"] = 1
    refused(path, "another program")
    journal_path(path).unlink()  # as the hint says
    with transaction(path) as file:
        assert "theirs" in file


def test_a_foreign_change_before_the_seal_is_kept(path: Path) -> None:
    interrupt(path, "tail")
    with h5py.File(path, "r+") as file:
        file["theirs"] = np.arange(50_000)
    recover(path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["theirs"], np.arange(50_000))
        assert "x" not in file


def test_a_truncated_target(path: Path) -> None:
    interrupt(path, "blank")
    os.truncate(path, path.stat().st_size - 100)
    refused(path, "another program")


def test_a_journal_without_its_file(path: Path, tmp_path: Path) -> None:
    interrupt(path, "seal")
    path.rename(tmp_path / "moved.h5")
    with pytest.raises(FileAccessError, match="not its file"):
        recover(path)


def test_a_file_that_may_not_be_written_says_so(foreign_folder: Path) -> None:
    path = foreign_folder / "a.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = 1
    interrupt(path, "blank")
    with unprivileged(foreign_folder):
        path.chmod(0o444)
        with pytest.raises(FileAccessError, match="interrupted commit") as caught:
            recover(path)
    assert "permission" in str(caught.value)


def test_a_commit_that_could_not_be_put_in_place_says_so(path: Path) -> None:
    system = Stops(4, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(FileAccessError, match="is committed") as caught:  # noqa: SIM117
        with hold_lock(path), open_journaled(path, lock_timeout=1, system=system) as file:
            file["x"] = 1
    assert "open the file with nwbpipe" in str(caught.value)
    with transaction(path) as file:
        assert file["x"][()] == 1


class _NoLock(System):
    def lock(self, descriptor: int, *, exclusive: bool) -> bool:
        return True


def test_no_page_goes_in_place_while_a_reader_holds_the_lock(path: Path) -> None:
    """And a commit that skips the lock is noticed."""
    before = path.read_bytes()
    for system, fails in ((System(), True), (_NoLock(), False)):
        with h5py.File(path, "r"):
            try:
                with hold_lock(path), open_journaled(path, lock_timeout=0, system=system) as file:
                    file["x"] = 1
            except LockedFileError:
                assert fails
            else:
                assert not fails
        assert (path.read_bytes() == before) == fails


def test_a_commit_under_way_is_waited_for(path: Path) -> None:
    """A reader that meets the blanked file waits for the other process's commit to end."""
    script = f"""
        from nwbpipe.files._change_in_place import open_journaled
        from nwbpipe.files._os import System

        class Slow(System):
            calls = 0
            def sync(self, descriptor):
                self.calls += 1
                if self.calls == 5:  # the signature is blank
                    print("waiting", flush=True)
                    time.sleep(1)
                super().sync(descriptor)
            def sync_data(self, descriptor):
                self.sync(descriptor)

        path = pathlib.Path({str(path)!r})
        with hold_lock(path), open_journaled(path, lock_timeout=1, system=Slow()) as file:
            file["x"] = 1
        {WAITING}
    """
    with child(script) as process:
        wait_for_line(process)
        with pytest.raises(OSError, match="signature"):
            h5py.File(path, "r", locking=False)
        with read_settled(path, lambda: h5py.File(path, "r", locking=False)) as file:
            assert "x" in file


def test_a_seal_that_may_or_may_not_stand_says_so(path: Path) -> None:
    system = Stops(3, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(FileAccessError, match="may or may not"):  # noqa: SIM117
        with hold_lock(path), open_journaled(path, lock_timeout=1, system=system) as file:
            file["x"] = 1
    recover(path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["raw"], np.arange(1000))


def test_results_in_an_interrupted_file_are_not_overwritten(session_nwb: Path) -> None:
    """Who asks what would be lost sees the committed state, though no HDF5 reader opens the file."""
    from pynwb import TimeSeries

    from nwbpipe.converters._convert import list_results

    with nwbpipe.transaction(session_nwb) as nwbfile:
        module = nwbfile.create_processing_module("behavior", "test")
        module.add(TimeSeries(name="result", data=[1.0], unit="V", rate=1.0))
    interrupt(session_nwb, "blank")
    assert not h5py.is_hdf5(session_nwb)
    assert list_results(session_nwb)
