"""HDF5's own lock: readers hold `flock` shared, writers exclusively. Programs that know nothing of us obey it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from nwbpipe.errors import LockedFileError
from nwbpipe.files._os import System

_PAUSE = 0.02


def acquire_hdf5_lock(system: System, descriptor: int, target: Path, *, exclusive: bool, timeout: float) -> None:
    """Wait for HDF5's lock.

    Raises
    ------
    LockedFileError
        If another program holds it for longer than `timeout` seconds; it names the process.
    """
    end = time.monotonic() + timeout
    while not system.lock(descriptor, exclusive=exclusive):
        if time.monotonic() >= end:
            msg = (
                "another program has the file open" if exclusive else "another program has the file open for writing"
            )
            holders = lock_holders(target)
            raise LockedFileError(
                msg,
                where=str(target),
                expected=f"the file to be closed within {timeout:g} s",
                found=", ".join(f"process {pid}{_name(pid)}" for pid in holders) or None,
                hint="close it there, then try again; the file is as it was",
            )
        time.sleep(_PAUSE)


def lock_holders(target: Path) -> list[int]:
    """Return the processes of this machine that hold a lock on a file, where the system tells (Linux)."""
    try:
        inode = target.stat().st_ino
        device = target.stat().st_dev
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    holders = set()
    for line in lines:
        fields = line.split()
        if "FLOCK" not in fields or "->" in fields:  # an arrow: one that waits
            continue
        identifier = next((field for field in fields if field.count(":") == 2), "")
        parts = identifier.split(":")
        if len(parts) == 3 and int(parts[2]) == inode:
            same = (int(parts[0], 16), int(parts[1], 16)) == (os.major(device), os.minor(device))
            pid = int(fields[fields.index("FLOCK") + 3])
            if same and pid > 0:
                holders.add(pid)
    return sorted(holders)


def _name(pid: int) -> str:
    try:
        return f" ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    except OSError:
        return ""
