"""A change to a file happens as a whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from nwbpipe.errors import DamagedFileError, FileAccessError, InvalidResultError, LockedFileError
from nwbpipe.files import _change_copy, _change_in_place, transaction
from tests.files.helpers import WAITING, child, no_leftovers, output_of, unprivileged, wait_for_line


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = np.arange(10_000)
    return path


def test_leaving_the_block_commits(path: Path, mechanism: str) -> None:
    before = content(path)
    with transaction(path) as file:
        file["x"] = 1
        file.flush()
        assert content(path) == before
    with h5py.File(path) as file:
        assert file["x"][()] == 1
        np.testing.assert_array_equal(file["raw"], np.arange(10_000))
    assert no_leftovers(path.parent)


def test_an_exception_changes_nothing(path: Path, mechanism: str) -> None:
    before = content(path)
    with pytest.raises(RuntimeError), transaction(path) as file:  # noqa: PT012
        file["x"] = 1
        del file["raw"]
        raise RuntimeError
    assert content(path) == before
    assert no_leftovers(path.parent)


@pytest.fixture(params=["journal", "copy"])
def mechanism(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to commit; child processes inherit the choice."""
    monkeypatch.setenv("NWBPIPE_TRANSACTION", request.param)
    return str(request.param)


@pytest.mark.parametrize("moment", ["within the block", "after all is written"])
def test_a_kill_changes_nothing(path: Path, moment: str, mechanism: str) -> None:
    before = content(path)
    if moment == "within the block":
        script = f"""
            with transaction({str(path)!r}) as file:
                file["x"] = range(100_000)
                file.flush()
                {WAITING}
        """
    else:
        script = f"""
            def check(finished):
                {WAITING}
            with transaction({str(path)!r}, check=check) as file:
                file["x"] = range(100_000)
        """
    with child(script) as process:
        wait_for_line(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert content(path) == before
    if mechanism == "copy":
        assert not no_leftovers(path.parent), "the kill came too late to test"
    with transaction(path, lock_timeout=5) as file:  # neither the lock nor the leftover is in the way
        assert "x" not in file
        file["y"] = 1
    assert no_leftovers(path.parent)


def test_a_kill_after_the_rename_leaves_the_new_file(path: Path) -> None:
    script = f"""
        def committed():
            {WAITING}
        with transaction({str(path)!r}, committed=committed) as file:
            file["x"] = 1
    """
    with child(script) as process:
        wait_for_line(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with h5py.File(path) as file:
        assert file["x"][()] == 1
    assert no_leftovers(path.parent)


def test_another_writer_is_waited_for_then_refused(path: Path) -> None:
    script = f"""
        with transaction({str(path)!r}) as file:
            {WAITING}
    """
    with child(script) as process:
        wait_for_line(process)
        with pytest.raises(LockedFileError, match="another process"), transaction(path, lock_timeout=0.1):
            pytest.fail("two writers at once")


def test_a_foreign_program_that_writes_is_noticed(path: Path) -> None:
    script = f"""
        with h5py.File({str(path)!r}, "r+") as file:
            {WAITING}
    """
    with child(script) as process:
        wait_for_line(process)
        before = content(path)
        with pytest.raises(LockedFileError, match="another program"), transaction(path):
            pytest.fail("copied while it was written")
    assert no_leftovers(path.parent)
    assert content(path) == before


def test_a_foreign_change_meanwhile_is_not_lost(path: Path, mechanism: str) -> None:
    script = f"""
        with h5py.File({str(path)!r}, "r+", locking=False) as file:
            file["theirs"] = 1
    """
    with pytest.raises(FileAccessError, match="meanwhile"), transaction(path) as file:  # noqa: PT012
        file["ours"] = 1
        output_of(script)
    with h5py.File(path) as file:
        assert "theirs" in file
        assert "ours" not in file
    assert no_leftovers(path.parent)


def test_a_foreign_writer_is_kept_out(path: Path) -> None:
    script = f"""
        try:
            h5py.File({str(path)!r}, "r+")
        except BlockingIOError:
            print("kept out")
    """
    with transaction(path) as file:
        file["ours"] = 1
        assert "kept out" in output_of(script)


def test_a_reader_is_waited_for_then_named(path: Path) -> None:
    before = content(path)
    with h5py.File(path, "r") as reader:
        with pytest.raises(LockedFileError, match="open") as caught, transaction(path, lock_timeout=0.1) as file:
            file["raw"][...] = 0
        np.testing.assert_array_equal(reader["raw"], np.arange(10_000))
    assert content(path) == before
    if sys.platform == "linux":
        assert f"process {os.getpid()}" in str(caught.value)


def test_a_reader_that_ends_in_time_is_waited_for(path: Path) -> None:
    reader = h5py.File(path, "r")
    timer = threading.Timer(0.5, reader.close)
    timer.start()
    with transaction(path, lock_timeout=30) as file:
        file["x"] = 1
    timer.join()
    with h5py.File(path) as file:
        assert "x" in file


def test_by_copy_a_reader_keeps_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBPIPE_TRANSACTION", "copy")
    with h5py.File(path, "r") as reader:
        with transaction(path) as file:
            file["raw"][...] = 0
        np.testing.assert_array_equal(reader["raw"], np.arange(10_000))
    with h5py.File(path) as file:
        assert not file["raw"][()].any()


def test_check_may_refuse(path: Path, mechanism: str) -> None:
    before = content(path)

    def check(finished: h5py.File) -> None:
        assert finished["x"][()] == 1
        raise InvalidResultError("not valid")

    with pytest.raises(InvalidResultError, match="not valid"), transaction(path, check=check) as file:
        file["x"] = 1
    assert content(path) == before
    assert no_leftovers(path.parent)


def test_a_full_disk_changes_nothing(path: Path, mechanism: str) -> None:
    """A limit on the size of files stands in for the full disk."""
    before = content(path)
    limit = path.stat().st_size + 20_000
    script = f"""
        import resource, signal, numpy
        from nwbpipe.errors import FileAccessError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            with transaction({str(path)!r}) as file:
                file["x"] = numpy.ones(1_000_000)
        except FileAccessError as error:
            print(error, flush=True)
        os._exit(0)  # HDF5 would try to write what is left once more
    """
    assert "ulimit -f" in output_of(script)
    assert content(path) == before
    assert no_leftovers(path.parent)


def test_no_space_for_the_results_is_said_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_change_in_place.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    before = content(path)
    with pytest.raises(FileAccessError, match="no space") as caught, transaction(path) as file:
        file["x"] = np.ones(100_000)
    assert caught.value.problem.found == "0 MB"
    assert content(path) == before


def test_no_space_for_the_copy_is_said_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NWBPIPE_TRANSACTION", "copy")
    monkeypatch.setattr(_change_copy, "_clone", lambda source, destination: False)
    monkeypatch.setattr(_change_copy.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    before = content(path)
    with pytest.raises(FileAccessError, match="no space") as caught, transaction(path):
        pytest.fail("the block must not run")
    assert caught.value.problem.found == "0 MB"
    assert content(path) == before


def test_an_error_of_the_system_names_file_and_remedy(path: Path) -> None:
    before = content(path)
    with pytest.raises(FileAccessError, match="No space left") as caught, transaction(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(path) in str(caught.value)
    assert "free space" in str(caught.value)
    assert content(path) == before


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="no such file"), transaction(tmp_path / "no.h5"):
        pytest.fail("the block must not run")


def test_no_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("hello")
    with pytest.raises(DamagedFileError), transaction(path):
        pytest.fail("the block must not run")
    assert path.read_text() == "hello"
    assert no_leftovers(tmp_path)


@pytest.mark.parametrize("bits", [0o500, 0o444], ids=["folder", "file"])
def test_what_may_not_be_written_is_refused(foreign_folder: Path, bits: int) -> None:
    path = foreign_folder / "a.h5"
    h5py.File(path, "w").close()
    protected = foreign_folder if bits == 0o500 else path
    before = content(path)
    with unprivileged(foreign_folder):
        protected.chmod(bits)
        with pytest.raises(FileAccessError, match=r"(?i)permission"), transaction(path):
            pytest.fail("the block must not run")
    assert content(path) == before
    assert no_leftovers(foreign_folder)


@pytest.mark.parametrize("bits", [0, 0o200])
def test_a_file_that_may_not_be_read(foreign_folder: Path, bits: int) -> None:
    path = foreign_folder / "a.h5"
    h5py.File(path, "w").close()
    with unprivileged(foreign_folder):
        path.chmod(bits)
        with pytest.raises(FileAccessError, match=r"(?i)permission"), transaction(path):
            pytest.fail("the block must not run")


def test_a_link_is_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "b.h5"
    link.symlink_to(path)
    with transaction(link) as file:
        file["x"] = 1
    assert link.is_symlink()
    with h5py.File(path) as file:
        assert "x" in file
    assert no_leftovers(tmp_path)
    assert no_leftovers(link.parent)


@pytest.mark.skipif(os.name == "nt", reason="no mode bits there")
def test_mode_bits_are_kept(path: Path) -> None:
    path.chmod(0o640)
    with transaction(path) as file:
        file["x"] = 1
    assert path.stat().st_mode & 0o777 == 0o640
