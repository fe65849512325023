"""Run a command and watch its memory."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Measurement:
    """Wall time in seconds, and peak memory in bytes.

    `peak` is the resident set, pages of mapped files among it; `anonymous` is the part that the process holds itself
    (anonymous memory), which the system can't take back.
    """

    seconds: float
    peak: int
    anonymous: int


def watch(command: Sequence[str]) -> Measurement:
    """Run `command` to its end (it must end with 0).

    The peak of the resident set is the kernel's own (`VmHWM` shortly before the end, `ru_maxrss` as the bound
    where /proc is not there); anonymous memory is sampled 50 times a second.
    """
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    peaks = {"VmHWM": 0, "RssAnon": 0}
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.02):
            try:
                text = Path(f"/proc/{child.pid}/status").read_text()
            except OSError:
                return
            for line in text.splitlines():
                name, _, value = line.partition(":")
                if name in peaks:
                    peaks[name] = max(peaks[name], int(value.split()[0]) * 1024)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    over.set()
    sampler.join()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return Measurement(seconds, peaks["VmHWM"] or usage.ru_maxrss * unit, peaks["RssAnon"])
