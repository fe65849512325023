"""Limit the memory of a process, with the pages of files that it reads, by a control group of Linux."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


@contextmanager
def make_memory_group(limit: int) -> Iterator[Path | None]:
    """Yield a group below our own, whose processes may use `limit` bytes; None where none can be made."""
    group = _make_group(limit)
    try:
        yield group
    finally:
        if group is not None:
            group.rmdir()


def join_group(group: Path) -> None:
    """Put this process into a group."""
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _make_group(limit: int) -> Path | None:
    for parent, name in _list_parents():
        group = parent / f"nwbpipe-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / name).write_text(str(limit))
            return group
        except OSError:  # version 2 gives a group without its parent's leave no limit
            group.rmdir()
    return None


def _list_parents() -> Iterator[tuple[Path, str]]:
    """List our own groups that may limit memory, and the names of the limit, of both versions."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            yield _ROOT / "memory" / path.lstrip("/"), "memory.limit_in_bytes"
        elif not controllers:
            yield _ROOT / path.lstrip("/"), "memory.max"
