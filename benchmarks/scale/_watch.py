"""Run a command of nwbpipe, and watch its memory and how far it is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers._measure import read_children_cpu, read_cpu, wait_for_orphans

_END = re.compile(r"^(\S+) (\S+)  (done|done already|failed|interrupted|held) [0-9.]+ s")
_LOOK_S = 0.05


@dataclass(frozen=True)
class Look:
    """Anonymous memory of processes in bytes, by their names, when so many runs had ended."""

    ended: int
    memory: Mapping[str, int]


@dataclass
class Watched:
    """A command that was started.

    Attributes
    ----------
    ends : list of (seconds, session, step, ending)
        The runs that ended, with the time since the start.
    looks : list of Look
    planned_s : float
        Seconds until it said what is to be done.
    wall, cpu : float
        Seconds, of its own process alone; set by `wait`.
    """

    process: subprocess.Popen[str]
    others: Mapping[str, int]
    began: float = field(default_factory=time.perf_counter)
    ends: list[tuple[float, str, str, str]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    planned_s: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0

    def __post_init__(self) -> None:
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._look)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            now = time.perf_counter() - self.began
            if match := _END.match(line):
                self.ends.append((now, match[1], match[2], match[3]))
            else:
                self.lines.append(line)
                if " runs to do" in line:
                    self.planned_s = now

    def _look(self) -> None:
        pids = {"runner": self.process.pid, **self.others}
        while not self.wall:
            memory = {name: size for name, pid in pids.items() if (size := read_memory(pid))}
            if "runner" in memory:
                self.looks.append(Look(len(self.ends), memory))
            time.sleep(_LOOK_S)

    def wait_for_ends(self, count: int) -> None:
        """Wait until so many runs have ended, or the command."""
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        while len(self.ends) < count and os.waitid(os.P_PID, self.process.pid, options) is None:
            time.sleep(0.01)

    def wait(self) -> Watched:
        """Wait for the end of the command; its code must be 0, unless it was killed."""
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        self.cpu = read_cpu(self.process.pid)  # still there until it is waited for
        code = self.process.wait()
        self.wall = time.perf_counter() - self.began
        for thread in self._threads:
            thread.join(10)
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"`nwbpipe` ended with {code}:\n{''.join(self.lines)[-2000:]}")
        return self

    def kill(self) -> None:
        """End the runner alone, at once."""
        self.process.kill()
        self.wait()

    def read_peak(self, name: str = "runner") -> int:
        """Return the most anonymous memory of a process, in bytes."""
        return max((look.memory.get(name, 0) for look in self.looks), default=0)

    def read_memory_at(self, fraction: float, runs: int, name: str = "runner") -> int:
        """Return the anonymous memory of a process when a part of the runs had ended."""
        looks = [look for look in self.looks if name in look.memory]
        return next((look.memory[name] for look in looks if look.ended >= fraction * runs), looks[-1].memory[name])


def start(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], others: Mapping[str, int] | None = None
) -> Watched:
    """Start a command of nwbpipe; `others` are the process ids that are watched beside it."""
    command = [sys.executable, "-m", "nwbpipe", *words]
    with (folder / "output.log").open("ab") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(variables), stdout=output, stderr=subprocess.PIPE, text=True
        )
    return Watched(process, others or {})


def measure_cpu(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> tuple[Watched, float]:
    """Run a command to its end; return it, and the CPU seconds of all processes that it started."""
    before = read_children_cpu()
    watched = start(words, folder, variables).wait()
    wait_for_orphans(None)
    return watched, read_children_cpu() - before


def read_memory(pid: int) -> int:
    """Return the anonymous memory of a process in bytes; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith("RssAnon:")), "RssAnon: 0")
    return int(line.split()[1]) * 1024
