"""Locks that the clients of an NFS server would hold here, by programs that lock as the server does for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest

from nwbpipe.disk import open_regular
from nwbpipe.errors import LockedFileError
from nwbpipe.files import _node_lock, _write_lock, transaction
from nwbpipe.files._check import is_writer_active
from nwbpipe.files._fresh_stat import stat_now
from nwbpipe.files._network_disk import Mount
from nwbpipe.files._write_lock import hold_lock, lock_path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="locks of open file descriptions")
_NODE = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_SH if sys.argv[2] == "reads" else fcntl.LOCK_EX)
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = 1
    with hold_lock(path):  # makes the lock's file
        pass
    return path


@contextmanager
def node(path: Path, doing: str = "writes") -> Iterator[subprocess.Popen[str]]:
    """Yield a program that holds a POSIX lock, as `nfsd` and `lockd` do for a client."""
    words = [sys.executable, "-S", "-c", _NODE, str(path), doing]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        try:
            yield process
        finally:
            process.kill()


def read_bytes(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read()


def is_free_for_nodes(path: Path) -> bool:
    code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    words = [sys.executable, "-S", "-c", code, str(path)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_a_writer_waits_for_a_node_that_writes(path: Path) -> None:
    with node(lock_path(path)) as process:
        assert is_writer_active(path)
        with pytest.raises(LockedFileError, match="another process is writing"), hold_lock(path, timeout=0.3):
            pytest.fail("the block must not run")
        threading.Timer(0.5, process.kill).start()
        with hold_lock(path, timeout=60):
            pass
    assert not is_writer_active(path)


def test_a_node_is_kept_out_whatever_else_the_process_closes(path: Path) -> None:
    with hold_lock(path):
        os.close(os.open(lock_path(path), os.O_RDWR))  # an older POSIX lock would end here
        assert not is_free_for_nodes(lock_path(path))

        def try_to_lock() -> None:
            with pytest.raises(LockedFileError), hold_lock(path, timeout=0.1):
                pytest.fail("the block must not run")

        thread = threading.Thread(target=try_to_lock)
        thread.start()
        thread.join()
        assert not is_free_for_nodes(lock_path(path))
    assert is_free_for_nodes(lock_path(path))


def test_a_commit_waits_for_a_node_that_reads_and_readers_here_go_on(path: Path) -> None:
    def change(timeout: float) -> None:
        with transaction(path, lock_timeout=timeout) as file:
            file["x"] = 1

    with node(path, "reads"):
        before = path.read_bytes()
        with pytest.raises(LockedFileError, match="a machine to which this one serves the disk"):
            change(0.2)
        assert path.read_bytes() == before
        thread = threading.Thread(target=change, args=(60,))
        thread.start()
        time.sleep(0.5)
        opened = 0
        for _ in range(50):
            try:
                with h5py.File(path) as file:
                    opened += list(file) == ["raw"]
            except BlockingIOError:  # while the commit looks again whether it may begin
                time.sleep(0.01)
        assert opened > 25
    thread.join(60)
    with h5py.File(path) as file:
        assert sorted(file) == ["raw", "x"]


def test_a_node_that_writes_keeps_a_commit_from_beginning(path: Path) -> None:
    with node(path), pytest.raises(LockedFileError, match="open for writing"), transaction(path):
        pytest.fail("the block must not run")


_LEASE = """
import fcntl, os, sys, time
fcntl.fcntl(os.open(sys.argv[1], os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)
print("holds", flush=True)
time.sleep(60)
"""


def test_a_file_that_a_node_keeps_for_itself_is_waited_for(path: Path) -> None:
    """The server gives a node that reads a lease (a delegation); who opens the file for writing asks for it back."""
    words = [sys.executable, "-S", "-c", _LEASE, str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        with transaction(path) as file:  # the question, SIGIO, ends the program and its lease
            file["x"] = 1
        assert process.wait(10) == -signal.SIGIO
    with h5py.File(path) as file:
        assert sorted(file) == ["raw", "x"]


_WRITE_LEASE = """
import fcntl, os, signal, sys, time
file = os.open(sys.argv[1], os.O_RDWR)

def write_and_give_back(*_):
    time.sleep(0.3)
    os.pwrite(file, b"new", 0)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    sys.exit()

signal.signal(signal.SIGIO, write_and_give_back)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("holds", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("read", [stat_now, read_bytes])
def test_what_a_node_has_not_yet_written_back_is_waited_for(read: Callable[[Path], object], tmp_path: Path) -> None:
    """A node that wrote keeps the file for itself even when it has closed it: who reads it here asks for it."""
    path = tmp_path / "a"
    path.write_bytes(b"")
    words = [sys.executable, "-S", "-c", _WRITE_LEASE, str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        result = read(path)
    assert getattr(result, "st_size", result) in (3, b"new")


def test_a_node_itself_takes_one_kind_of_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There both kinds go to the server, and the second would wait for the first."""
    monkeypatch.setattr(_node_lock, "read_mount", lambda _path: Mount("nfs4", frozenset(), "/"))
    with hold_lock(path):
        assert is_free_for_nodes(lock_path(path))


def test_the_default_wait_on_a_network_disk_is_longer_than_a_dead_node_s_lease(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _write_lock.NETWORK_TIMEOUT_S > 90
    monkeypatch.setattr(_write_lock, "LOCK_TIMEOUT_S", 0.125)
    monkeypatch.setattr(_write_lock, "NETWORK_TIMEOUT_S", 0.75)
    waits = []
    with hold_lock(path):
        for kind, timeout in (("ext4", 0.125), ("nfs4", 0.125), ("nfs4", 0.25)):
            mount = Mount(kind, frozenset(), "/")
            monkeypatch.setattr(_node_lock, "read_mount", lambda _path, mount=mount: mount)
            with pytest.raises(LockedFileError) as caught, hold_lock(path, timeout):
                pytest.fail("the block must not run")
            waits.append(str(caught.value).partition("the lock within ")[2].partition(" s")[0])
    assert waits == ["0.125", "0.75", "0.25"]
