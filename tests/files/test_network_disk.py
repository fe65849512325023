"""Network disks, as far as it can be proved without one: mount options, errors of `flock`, caches and other nodes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest

from nwbpipe.errors import FileAccessError, LockedFileError
from nwbpipe.files import _change_copy, _network_disk, _node_lock, _write_lock, transaction
from nwbpipe.files._atomic import create_atomically, working_path
from nwbpipe.files._fresh_stat import stat_now
from nwbpipe.files._network_disk import Mount, mark_machine, read_mount
from nwbpipe.files._recover import read_settled
from nwbpipe.files._write_lock import hold_lock
from nwbpipe.machine import identify_machine

fcntl = pytest.importorskip("fcntl")
TABLE = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /lab\\040data rw,noatime shared:2 - nfs s:/x rw,vers=3,OPTION,addr=10.0.0.1
41 22 0:51 / /home rw - nfs4 s:/home rw,vers=4.2,local_lock=none
42 22 0:52 / /fast rw - lustre mds@tcp:/fast rw,localflock
"""


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_network_disk, "_checked", set())
    monkeypatch.delenv(_network_disk.ALONE, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = 1
    return path


def put_on(monkeypatch: pytest.MonkeyPatch, *options: str, kind: str = "nfs") -> None:
    mount = Mount(kind, frozenset(options), "/lab data")
    monkeypatch.setattr(_network_disk, "read_mount", lambda _path: mount)


@pytest.mark.parametrize(
    ("folder", "option", "kind", "local"),
    [
        ("/lab data/a", "local_lock=none", "nfs", ""),
        ("/lab data/a", "nolock,local_lock=all", "nfs", "local_lock=all,nolock"),
        ("/lab data/a", "local_lock=flock", "nfs", "local_lock=flock"),
        ("/lab data/a", "local_lock=posix", "nfs", ""),  # `flock` reaches the server
        ("/home", "", "nfs4", ""),
        ("/fast/x", "", "lustre", "localflock"),
        ("/tmp", "", "ext4", ""),
    ],
)
def test_options_of_mounts(folder: str, option: str, kind: str, local: str, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE.replace("OPTION", option))
    mount = read_mount(Path(folder), table)
    assert (mount.kind, mount.local_locks) == (kind, local)
    assert mount.is_network == (kind != "ext4")


@pytest.mark.parametrize(
    "name", ["a\u00a0disk", "a\u2028disk", "a\x0bdisk\x85", "\udcff", "ein Laufwerk\t\n", r"\040", "a - b"]
)
def test_names_of_mounts(name: str, tmp_path: Path) -> None:
    written = "".join(f"\\{ord(letter):03o}" if letter in " \t\n\\" else letter for letter in name)
    table = tmp_path / "mountinfo"
    lines = [
        "22 1 0:7 / / rw shared:1 master:2 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c d",
        f"40 22 0:50 / /{written} rw,noatime - nfs s:/x rw,nolock",
        f"41 40 0:51 / /{written}/scratch rw - tmpfs  rw",  # a source without a name
        "a line of another form",
        f"60 22 0:60 / /auto rw - autofs /etc/auto.{written} rw,fd=7",
        "61 60 0:61 / /auto rw - nfs4 s:/auto rw,local_lock=none",
    ]
    table.write_bytes(os.fsencode("\n".join([*lines, ""])))
    folder = Path("/", name)
    mounts = [read_mount(path, table) for path in (folder / "x", folder / "scratch/x", Path("/auto/x"), Path("/x"))]
    assert [mount.kind for mount in mounts] == ["nfs", "tmpfs", "nfs4", "overlay"]
    assert [mount.local_locks for mount in mounts] == ["nolock", "", "", ""]
    assert "rw" in mounts[1].options


@pytest.mark.parametrize(
    ("kind", "is_network"),
    [
        *((kind, True) for kind in ("ceph", "fuse.ceph-fuse", "fuse.glusterfs", "gpfs", "wekafs", "dvs", "virtiofs")),
        *((kind, False) for kind in ("ext4", "btrfs", "zfs", "overlay", "tmpfs", "fuseblk", "autofs", "")),
    ],
)
def test_disks_that_several_machines_share(kind: str, is_network: bool, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"30 1 0:40 / / rw,relatime shared:1 - {kind} share rw\n")
    mount = read_mount(tmp_path, table)
    assert (mount.kind, mount.is_network, mount.local_locks) == (kind, is_network, "")


def test_locks_that_stay_on_this_machine_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    put_on(monkeypatch, "nolock", "rw")
    with pytest.raises(FileAccessError, match="don't reach other machines") as caught, transaction(path) as file:
        file["x"] = 1
    assert "/lab data with nolock" in str(caught.value)
    assert "NWBPIPE_LOCAL_LOCKS=1" in str(caught.value)
    assert path.read_bytes() == before
    monkeypatch.setenv("NWBPIPE_LOCAL_LOCKS", "1")
    with transaction(path) as file:
        file["x"] = 1


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_an_error_that_names_the_variable(
    number: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(FileAccessError, match="this disk has no locks") as caught, hold_lock(path):
        pytest.fail("the block must not run")
    assert "HDF5_USE_FILE_LOCKING=FALSE" in str(caught.value)
    assert os.strerror(number) in str(caught.value)
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    for _ in range(2):  # the lock's file that is there now is not taken for a lock
        with hold_lock(path, timeout=0):
            pass


def test_the_variable_alone_takes_no_lock_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    with hold_lock(path):
        code = "import sys, pathlib; from nwbpipe.files._write_lock import hold_lock\n"
        code += "with hold_lock(pathlib.Path(sys.argv[1]), 0): pass"
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "another process is writing" in done.stderr


def test_a_living_node_s_unfinished_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on(monkeypatch)
    target = tmp_path / "a.nwb"
    with create_atomically(target) as building:
        assert building.name.split("-")[1].startswith(mark_machine())
        building.write_bytes(b"whole")
    theirs, ours, dead, old = (
        tmp_path / f".a.nwb.{name}.partial"
        for name in (
            "17-00000000aaaaaaaa", f"1-{mark_machine()}aaaaaaaa", f"4194305-{mark_machine()}bbbbbbbb",
            "18-00000000bbbbbbbb",
        )
    )  # fmt: skip
    for file in (theirs, ours, dead, old):
        file.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    working_path(target)
    assert [file.exists() for file in (theirs, ours, dead, old)] == [True, True, False, False]
    put_on(monkeypatch, kind="ext4")  # nobody else can hold the lock
    working_path(target)
    assert not theirs.exists()


def test_a_look_at_a_file_opens_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached `stat` that is old, as on NFS, hides no other writer's commit."""
    old = path.stat()
    assert stat_now(path).st_ino == old.st_ino
    put_on(monkeypatch)
    monkeypatch.setattr(_change_copy, "_clone", lambda *_: False)
    real = Path.stat
    cached = {path: old}
    monkeypatch.setattr(Path, "stat", lambda self, **words: cached.get(self) or real(self, **words))
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["theirs"] = 1
    monkeypatch.setenv("NWBPIPE_TRANSACTION", "copy")

    def change() -> None:
        with transaction(path) as file:
            file["x"] = 1
            other.replace(path)

    with pytest.raises(FileAccessError, match="another program changed the file"):
        change()
    with h5py.File(path) as file:
        assert list(file) == ["theirs"]


def test_a_reader_under_which_the_file_was_replaced_reads_again(path: Path) -> None:
    answers: list[Exception | int] = [
        OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
        OSError("Stale file handle"),
        3,
    ]

    def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert read_settled(path, read) == 3
    with pytest.raises(OSError, match="other"):
        read_settled(path, lambda: (_ for _ in ()).throw(OSError("other")))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_the_name_of_a_machine_does_not_depend_on_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    name = identify_machine()
    monkeypatch.setattr("uuid.getnode", lambda: 17)
    assert identify_machine() == name
    assert len(name) == 16


def test_a_lock_that_a_dead_machine_may_hold_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_node_lock, "read_mount", lambda _path: Mount("nfs4", frozenset(), "/"))
    with _write_lock.lock_path(path).open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(LockedFileError, match="--lock-timeout 120"), hold_lock(path, timeout=0):
            pytest.fail("the block must not run")


@pytest.mark.parametrize("number", [0, errno.EXDEV, errno.EOPNOTSUPP])
def test_the_server_copies_where_it_can(number: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = []
    real = os.copy_file_range

    def copy(source: int, destination: int, count: int) -> int:
        if number:
            raise OSError(number, os.strerror(number))
        copied.append(real(source, destination, min(count, 1000)))
        return copied[-1]

    monkeypatch.setattr(os, "copy_file_range", copy)
    monkeypatch.setattr(_change_copy, "_clone", lambda *_: False)
    monkeypatch.setenv("NWBPIPE_TRANSACTION", "copy")
    size = path.stat().st_size
    with transaction(path) as file:
        file["x"] = 1
    with h5py.File(path) as file:
        assert sorted(file) == ["raw", "x"]
    assert sum(copied) == (0 if number else size)


def test_hdf5_s_own_errors_at_the_end_are_errors_of_access(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    monkeypatch.setenv("NWBPIPE_TRANSACTION", "copy")

    @contextmanager
    def open_for_change(_target: Path, working: Path) -> Iterator[h5py.File]:
        with h5py.File(working, "r+") as file:
            yield file
        raise RuntimeError("Disable slist on flush dest failure failed")

    monkeypatch.setattr(_change_copy, "_open_for_change", open_for_change)
    with pytest.raises(FileAccessError, match="could not be written to its end"), transaction(path) as file:
        file["x"] = 1
    assert path.read_bytes() == before

    def fail() -> None:
        with transaction(path):
            raise RuntimeError("of the block")

    with pytest.raises(RuntimeError, match="of the block"):
        fail()
