"""Network disks: whether their locks reach other machines, and looks at files that no cache answers."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from nwbpipe.errors import FileAccessError
from nwbpipe.machine import identify_machine

NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "fuse.rclone"),
    *("lustre", "gpfs", "beegfs", "ceph", "fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.juicefs"),
    *("panfs", "wekafs", "pvfs2", "dvs", "gfs2", "ocfs2"),
    *("9p", "virtiofs", "vboxsf", "fuse.vmhgfs-fuse"),  # folders of a virtual machine's host
}
ALONE = "NWBPIPE_LOCAL_LOCKS"
HDF5_LOCKING = "HDF5_USE_FILE_LOCKING"
NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
# Options with which `flock` is a matter of one machine: nfs(5), mount.cifs(8), mount.lustre(8).
_LOCAL_LOCKS = {
    "nfs": {"nolock", "local_lock=all", "local_lock=flock"},
    "nfs4": {"nolock", "local_lock=all", "local_lock=flock"},
    "cifs": {"nobrl"},
    "smb3": {"nobrl"},
    "lustre": {"localflock"},
}
_ABANDONED_S = 86400.0
_checked: set[tuple[int, str]] = set()


class Mount(NamedTuple):
    """A mounted file system: its type, its options, and the folder where it is mounted."""

    kind: str
    options: frozenset[str]
    folder: str

    @property
    def is_network(self) -> bool:
        """True if other machines may use it at the same time."""
        return self.kind in NETWORK

    @property
    def local_locks(self) -> str:
        """The options that keep its locks from other machines; "" if they reach them."""
        return ",".join(sorted(self.options & _LOCAL_LOCKS.get(self.kind, set())))


def read_mount(path: Path, table: Path = Path("/proc/self/mountinfo")) -> Mount:
    """Return the mount that a file lies on, where the system tells (Linux); else one without a type."""
    best = Mount("", frozenset(), "")
    with suppress(OSError):
        # Split at what the kernel escapes in names alone: other spaces and ends of lines are parts of them.
        for line in os.fsdecode(table.read_bytes()).split("\n"):
            before, dash, after = line.partition(" - ")
            fields = before.split(" ")
            if not dash or len(fields) < 6:
                continue
            folder = _unescape(fields[4])
            if len(folder) >= len(best.folder) and path.is_relative_to(folder):
                kind, _, options = (*after.split(" ", 2), "", "")[:3]
                best = Mount(kind, frozenset([*fields[5].split(","), *options.split(",")]), folder)
    return best


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def may_lock(path: Path, lock: Path) -> bool:
    """Return True if the writers' lock of a file can be taken; False if the user goes on without.

    Parameters
    ----------
    path : Path
        The file.
    lock : Path
        The file beside it that is locked.

    Raises
    ------
    FileAccessError
        The disk has no locks, or they don't reach the other machines that may write there.
    """
    if sys.platform == "win32":
        return True
    is_without = os.environ.get(HDF5_LOCKING, "").upper() in ("FALSE", "0")
    key = (path.parent.stat().st_dev, os.environ.get(ALONE, ""))
    if key in _checked and not is_without:
        return True
    mount = read_mount(path.parent)
    if mount.local_locks and os.environ.get(ALONE) != "1":
        msg = "locks on this disk don't reach other machines: two that write at once would lose results"
        raise FileAccessError(
            msg, where=str(path), expected=f"a {mount.kind} mount without {mount.local_locks}",
            found=f"{mount.folder} with {mount.local_locks}",
            hint=f"mount it again without; if no other machine writes there, set {ALONE}=1",
        )  # fmt: skip
    error = _try_lock(lock)
    if error is None:
        _checked.add(key)
        return True
    if is_without:
        return False
    msg = f"this disk has no locks: {error.strerror}"
    raise FileAccessError(
        msg, where=str(path), found=f"{mount.kind or 'a file system'} at {mount.folder}" if mount.folder else None,
        hint=f"mount it with locks (Lustre: -o flock; NFS 3: rpc.statd); if nothing else reads or writes the file "
        f"meanwhile, set {HDF5_LOCKING}=FALSE",
    ) from error  # fmt: skip


def _try_lock(lock: Path) -> OSError | None:
    """Return the error of a disk without locks; None if it has them."""
    import fcntl

    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(lock, flags, 0o644)  # as filelock makes it
    except OSError:
        return None  # who takes the lock tells it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error if error.errno in NO_LOCKS else None
    finally:
        os.close(descriptor)
    return None


def is_stale(error: BaseException) -> bool:
    """Return True if another machine replaced the file under a reader on NFS."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) == errno.ESTALE or os.strerror(errno.ESTALE) in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def mark_machine() -> str:
    """Return eight digits for this machine since it was booted, and for the processes that it sees."""
    return identify_machine()[:8]


def is_abandoned(partial: Path, pid: int, mark: str) -> bool:
    """Return True if nobody builds a file any more; the caller holds the lock of the file that it is for.

    Parameters
    ----------
    partial : Path
        The unfinished file.
    pid, mark
        Process that made it, and `mark_machine` there.
    """
    if not read_mount(partial.parent).is_network:
        return True  # the lock says so
    if mark == mark_machine():
        return not _is_alive(pid)
    with suppress(OSError):
        return abs(time.time() - partial.lstat().st_mtime) > _ABANDONED_S
    return False


def _is_alive(pid: int) -> bool:
    import psutil

    return pid != os.getpid() and bool(psutil.pid_exists(pid))  # our own threads wait for the lock
