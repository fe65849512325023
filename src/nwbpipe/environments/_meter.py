"""Measure what a group of processes uses while it runs: memory of all of them together, and of the GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

_PERIOD = 0.5  # seconds between two looks
_SMALL = 64 * 2**20  # bytes; below that a process is a helper, not worth the cost of a closer look
_PROC = Path("/proc")


class Meter:
    """Watches a process group, as a context manager.

    Parameters
    ----------
    group : int
        Id of the process group.
    gpu : bool
        Whether to ask ``nvidia-smi`` as well, where it is on the PATH.
    """

    def __init__(self, group: int, *, gpu: bool) -> None:
        self._group = group
        self._smi = shutil.which("nvidia-smi") if gpu else None
        self._ended = threading.Event()
        self._peaks = {"peak_memory_bytes": 0.0, "peak_gpu_memory_bytes": 0.0, "gpu_seconds": 0.0}
        self._threads = [threading.Thread(target=self._watch_memory, daemon=True)] if _PROC.is_dir() else []
        if self._smi:
            self._threads.append(threading.Thread(target=self._watch_gpu, daemon=True))

    def __enter__(self) -> Meter:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(10)

    def read_peaks(self) -> dict[str, float]:
        """Return the peaks that were seen; nothing of what could not be looked at.

        ``peak_memory_bytes`` (proportional set size of all processes together), ``peak_gpu_memory_bytes``, and
        ``gpu_seconds``: for how long memory of a GPU was held.
        """
        return {name: value for name, value in self._peaks.items() if value}

    def _update_peak(self, name: str, value: float) -> None:
        self._peaks[name] = max(self._peaks[name], value)

    def _watch_memory(self) -> None:
        while not self._ended.wait(_PERIOD):
            large = [pid for pid in list_group_members(self._group) if _read_resident_memory(pid) > _SMALL]
            if len(large) > 1:  # of a single process the kernel itself keeps the exact peak
                self._update_peak("peak_memory_bytes", sum(_read_proportional_memory(pid) for pid in large))

    def _watch_gpu(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(_PERIOD):
            used = _read_gpu_memory(str(self._smi), list_group_members(self._group))
            now = time.monotonic()
            if used:
                self._update_peak("peak_gpu_memory_bytes", used)
                self._peaks["gpu_seconds"] += now - before
            before = now


def list_group_members(group: int) -> set[int]:
    """Return the ids of a group's processes (Linux)."""
    members = set()
    for folder in _PROC.iterdir() if _PROC.is_dir() else ():
        if folder.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                # pid (name) state parent group ...: the name may hold anything but its end is the last bracket.
                if int((folder / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                    members.add(int(folder.name))
    return members


def _read_resident_memory(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _read_proportional_memory(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _read_resident_memory(pid)


def _read_gpu_memory(program: str, members: set[int]) -> float:
    """Return the bytes of GPU memory that the processes hold together."""
    command = [program, "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    total = 0.0
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        for line in told.splitlines():
            with suppress(ValueError):  # "[N/A]" where the driver does not say
                pid, used = line.split(",")
                if int(pid) in members:
                    total += float(used) * 2**20
    return total
