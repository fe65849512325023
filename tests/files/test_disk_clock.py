"""Whether the clock of a file's disk has gone on since the file changed: asked of the disk itself."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from nwbpipe.files import _write_lock, is_time_past
from nwbpipe.files._network_disk import Mount
from nwbpipe.files._write_lock import hold_lock, lock_path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kind of a disk is read from Linux's /proc")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.nwb"
    with hold_lock(path):
        path.write_bytes(b"old")
    return path


def test_the_disk_tells_when_its_clock_has_gone_on(file: Path) -> None:
    changed, told = file.stat().st_ctime_ns, lock_path(file).stat().st_mtime_ns
    time.sleep(0.05)
    assert is_time_past(file, changed)
    file.write_bytes(b"new")
    os.utime(file, ns=(changed, changed))
    assert file.stat().st_ctime_ns > changed
    assert lock_path(file).stat().st_mtime_ns == told  # a later one would say that somebody waits for the lock


def test_a_time_that_has_not_come_is_not_past(file: Path) -> None:
    assert not is_time_past(file, time.time_ns() + 10**9)


def test_nothing_is_told_without_a_lock_of_ours(file: Path, tmp_path: Path) -> None:
    lock = lock_path(file)
    lock.unlink()
    assert not is_time_past(file, 0)
    (tmp_path / "other").write_bytes(b"")
    lock.symlink_to("other")
    assert not is_time_past(file, 0)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "fuseblk", ""])
def test_nothing_is_told_of_a_disk_that_others_may_date(
    file: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    assert is_time_past(file, 0)
    _write_lock._is_dated_here.cache_clear()
    monkeypatch.setattr(_write_lock, "read_mount", lambda _: Mount(kind, frozenset(), "/"))
    assert not is_time_past(file, 0)
    _write_lock._is_dated_here.cache_clear()
