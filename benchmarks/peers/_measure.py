"""CPU and wall time of a command and of all that it started."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: orphans of what we start become our children
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    wall: float
    cpu: float
    code: int
    output: str


def become_reaper() -> None:
    """Make this process the one that waits for orphans, so that their CPU is counted."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def measure(
    commands: Sequence[Sequence[str]],
    folder: Path,
    variables: Mapping[str, str],
    *,
    server: int | None = None,
) -> Cost:
    """Run commands beside each other to their end."""
    log = folder / "output.log"
    began, cpu, busy = time.perf_counter(), _children(), _process_cpu(server)
    with log.open("wb") as output:
        running = [
            subprocess.Popen(
                words,
                cwd=folder,
                env=dict(variables),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            for words in commands
        ]
        codes = [one.wait() for one in running]
    wall = time.perf_counter() - began
    _reap(server)
    text = log.read_text(errors="replace")
    spent = _children() - cpu + _process_cpu(server) - busy
    return Cost(wall, spent, max(map(abs, codes)), text)


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _process_cpu(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _list_descendants(server: int | None) -> list[int]:
    """Return the processes that this one started, and theirs; the database's server and its own are left out."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found, left = [], [os.getpid()]
    while left:
        for child in parents.get(left.pop(), []):
            if child != server:
                found.append(child)
                left.append(child)
    return found


def _reap(server: int | None) -> None:
    """Wait for orphans: at most ten seconds, as a service may stay."""
    end = time.monotonic() + 10
    while _list_descendants(server) and time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            return
