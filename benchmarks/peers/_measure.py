"""CPU and wall time of a command and of all that it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: orphans of what we start become our children
_LOG = "output.log"
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
    began, cpu, busy = time.perf_counter(), read_children_cpu(), read_cpu(server)
    codes = [process.wait() for process in start(commands, folder, variables)]
    wall = time.perf_counter() - began
    wait_for_orphans(server)
    text = (folder / _LOG).read_text(errors="replace")
    spent = read_children_cpu() - cpu + read_cpu(server) - busy
    return Cost(wall, spent, max(map(abs, codes)), text)


def start(
    commands: Sequence[Sequence[str]], folder: Path, variables: Mapping[str, str], *, apart: bool = False
) -> list[subprocess.Popen[bytes]]:
    """Start commands beside each other; `apart` gives each a session and a process group of its own."""
    with (folder / _LOG).open("wb") as output:
        return [
            subprocess.Popen(
                words,
                cwd=folder,
                env=dict(variables),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=apart,
            )
            for words in commands
        ]


def kill_descendants(server: int | None) -> None:
    """Kill all that this process started, and what they start meanwhile; the database's server is spared."""
    while left := _list_descendants(server):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for_orphans(server, 0.1)


def read_children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def read_cpu(pid: int | None) -> float:
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


def wait_for_orphans(server: int | None, seconds: float = 10) -> int:
    """Wait until what was started has ended, not for ever, as a service may stay; return how many are left."""
    end = time.monotonic() + seconds
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:  # thousands may wait: processes are listed once for all of them
                pass
        except ChildProcessError:
            return 0
        if not (left := _list_descendants(server)) or time.monotonic() > end:
            return len(left)
        time.sleep(0.02)
