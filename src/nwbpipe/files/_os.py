"""The few system calls of a commit, in one place: what a crash test must be able to record, fail and stop."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from nwbpipe.disk import create_file, open_recalled, refuse_special

if sys.platform != "win32":
    import fcntl


class System:
    """The operating system, as a commit uses it. The crash suite (``tests/faults``) puts its own in its place."""

    def open(self, path: Path, *, create: bool = False) -> int:
        """Open for reading and writing; with `create` the file is made. A link at its name is not followed."""
        if create:
            return create_file(path)
        refuse_special(path)
        return open_recalled(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0))

    def close(self, descriptor: int) -> None:
        """Close a file."""
        os.close(descriptor)

    def size(self, descriptor: int) -> int:
        """Return the size of a file."""
        return os.fstat(descriptor).st_size

    def inode(self, descriptor: int) -> int:
        """Return the number by which the file system knows a file."""
        return os.fstat(descriptor).st_ino

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Read up to `size` bytes at `offset`."""
        return os.pread(descriptor, size, offset)

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        """Write at `offset`; return how many bytes were taken, which may be fewer than given."""
        return os.pwrite(descriptor, data, offset)

    def truncate(self, descriptor: int, size: int) -> None:
        """Set the size of a file."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Return when what was written is on the disk, and not only in its cache."""
        if sys.platform == "darwin":  # fsync only hands the data to the disk there
            try:
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            except OSError:  # a file system that does not know it
                os.fsync(descriptor)
        else:
            os.fsync(descriptor)

    def sync_data(self, descriptor: int) -> None:
        """Do the same for bytes written over others; the file's times may be on the disk later."""
        if sys.platform == "linux":
            os.fdatasync(descriptor)
        else:
            self.sync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Make new and removed names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        path.unlink()

    def lock(self, descriptor: int, *, exclusive: bool) -> bool:
        """Take HDF5's lock of an open file, or turn one into the other; False if another holds it."""
        if sys.platform == "win32":
            raise OSError(errno.ENOSYS, "no flock on this system")
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self, descriptor: int) -> None:
        """Let HDF5's lock go."""
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_UN)


SYSTEM = System()


def write_all(system: System, descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data`, however little the system takes at a time."""
    remaining = memoryview(data)
    while remaining:
        written = system.write(descriptor, remaining, offset)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        remaining, offset = remaining[written:], offset + written
