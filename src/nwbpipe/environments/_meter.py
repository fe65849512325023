"""Measure what a process and those that it started use together: memory, and memory of the GPU."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from contextlib import suppress

import psutil

_PERIOD = 0.5  # seconds between two measurements
_SMALL = 64 * 2**20  # bytes; below that a process is a helper, not worth the cost of a closer look


class Meter:
    """Watches a process and those that it starts, as a context manager.

    Parameters
    ----------
    pid : int
        Id of the process.
    gpu : bool
        Ask ``nvidia-smi`` as well, where it is on the PATH.
    """

    def __init__(self, pid: int, *, gpu: bool) -> None:
        self._pid = pid
        self._smi = shutil.which("nvidia-smi") if gpu else None
        self._ended = threading.Event()
        self._peaks = {"peak_memory_bytes": 0.0, "peak_gpu_memory_bytes": 0.0, "gpu_seconds": 0.0}
        self._threads = [threading.Thread(target=self._watch_memory, daemon=True)]
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
        """Return the peaks that were measured; what could not be measured is left out.

        ``peak_memory_bytes`` (proportional set size of all processes together), ``peak_gpu_memory_bytes``, and
        ``gpu_seconds``: for how long memory of a GPU was held.
        """
        return {name: value for name, value in self._peaks.items() if value}

    def _update_peak(self, name: str, value: float) -> None:
        self._peaks[name] = max(self._peaks[name], value)

    def _watch_memory(self) -> None:
        while not self._ended.wait(_PERIOD):
            large = [process for process in list_family(self._pid) if _read_resident_memory(process) > _SMALL]
            if len(large) > 1:  # of a single process the kernel itself keeps the exact peak
                self._update_peak("peak_memory_bytes", sum(map(_read_own_share, large)))

    def _watch_gpu(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(_PERIOD):
            used = _read_gpu_memory(str(self._smi), {process.pid for process in list_family(self._pid)})
            now = time.monotonic()
            if used:
                self._update_peak("peak_gpu_memory_bytes", used)
                self._peaks["gpu_seconds"] += now - last
            last = now


def list_family(pid: int) -> list[psutil.Process]:
    """Return a process and all that it started, directly or not; none if it has ended."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _read_resident_memory(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _read_own_share(process: psutil.Process) -> int:
    """Return the bytes that count for this process: shared ones in part (Linux), or not at all (macOS)."""
    with suppress(psutil.Error):
        memory = process.memory_full_info()
        return int(getattr(memory, "pss", memory.uss))
    return _read_resident_memory(process)


def _read_gpu_memory(program: str, members: set[int]) -> float:
    """Return the bytes of GPU memory that the processes hold together."""
    command = [program, "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    total = 0.0
    with suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        for line in answer.splitlines():
            with suppress(ValueError):  # "[N/A]" where the driver does not say
                pid, used = line.split(",")
                if int(pid) in members:
                    total += float(used) * 2**20
    return total
