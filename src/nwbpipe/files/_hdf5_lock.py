"""HDF5's own lock: readers hold `flock` shared, writers exclusively. Programs that know nothing of us obey it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from nwbpipe.errors import LockedFileError
from nwbpipe.files._node_lock import lock_nodes_out, may_have_nodes
from nwbpipe.files._os import System

_PAUSE = 0.02


def acquire_hdf5_lock(system: System, descriptor: int, target: Path, *, exclusive: bool, timeout: float) -> None:
    """Wait for HDF5's lock, and for machines that read or write the file over the network from this one.

    Raises
    ------
    LockedFileError
        If another program holds it for longer than `timeout` seconds; it names the process.
    """
    end = time.monotonic() + timeout
    has_nodes = may_have_nodes(target)
    while not (is_free := system.lock(descriptor, exclusive=exclusive)) or (
        has_nodes and not lock_nodes_out(descriptor, exclusive=exclusive)
    ):
        if is_free and exclusive:
            system.lock(descriptor, exclusive=False)  # readers of this machine need not wait for a node
        if time.monotonic() >= end:
            msg = (
                "another program has the file open" if exclusive else "another program has the file open for writing"
            )
            holders = [f"process {pid}{_name(pid)}" for pid in lock_holders(target)]
            if is_free:
                holders = ["a machine to which this one serves the disk (NFS)"]
            raise LockedFileError(
                msg,
                where=str(target),
                expected=f"the file to be closed within {timeout:g} s",
                found=", ".join(holders) or None,
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
