"""Start and stop `nwbpipe run` as the command line does: as a process of its own, which outlives the dashboard."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from nwbpipe.errors import RequestError
from nwbpipe.machine import child_python, close_python_path

_MOST = 4  # processes at once
_KEPT = 8  # that have ended
_TAIL = 20_000  # bytes of the output


@dataclass
class RunProcess:
    """A `nwbpipe run` that the dashboard started.

    Attributes
    ----------
    number : int
        Its number, from 1.
    title : str
        What it runs, in words.
    process : subprocess.Popen
    output : file
        What it prints: a file without a name.
    since : float
        When it was started, as of `time.time`.
    is_stopping : bool
        True once it was asked to stop.
    """

    number: int
    title: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    since: float = field(default_factory=time.time)
    is_stopping: bool = False

    @property
    def state(self) -> str:
        """One of "running", "stopping", "done", "failed" and "stopped"."""
        code = self.process.poll()
        if code is None:
            return "stopping" if self.is_stopping else "running"
        return "done" if code == 0 else "stopped" if self.is_stopping else "failed"

    def read_tail(self, lines: int = 12) -> list[str]:
        """Return the last lines that it printed."""
        size = os.fstat(self.output.fileno()).st_size
        data = os.pread(self.output.fileno(), _TAIL, max(0, size - _TAIL))
        return data.decode("utf-8", "replace").splitlines()[-lines:]


class RunProcesses:
    """The runs that one dashboard started."""

    def __init__(self) -> None:
        self._processes: list[RunProcess] = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def start(self, options: Sequence[str], title: str) -> RunProcess:
        """Start ``nwbpipe run`` with options.

        Raises
        ------
        RequestError
            If too many are running.
        """
        with self._lock:
            running = [item for item in self._processes if item.process.poll() is None]
            if len(running) >= _MOST:
                msg = "too many runs were started from here"
                raise RequestError(msg, expected=f"at most {_MOST} at once", hint="wait for one to end, or stop it")
            output = tempfile.TemporaryFile()  # noqa: SIM115 - it is read while the process writes
            process = subprocess.Popen(
                child_python("-m", "nwbpipe", "run", *options), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env=close_python_path(os.environ), start_new_session=True,
            )  # fmt: skip
            started = RunProcess(next(self._numbers), title, process, output)
            ended = [item for item in self._processes if item.process.poll() is not None]
            for item in ended[: -_KEPT + 1]:
                item.output.close()
                self._processes.remove(item)
            self._processes.append(started)
            return started

    def list(self) -> list[RunProcess]:
        """Return those that run, and the last ones that ended; the newest first."""
        with self._lock:
            return self._processes[::-1]

    def find(self, pid: int) -> RunProcess | None:
        """Return the one that runs as a process of this number; None if none does."""
        return next((item for item in self.list() if item.process.pid == pid and item.process.poll() is None), None)

    def close(self) -> None:
        """Close what they print into; those that run go on."""
        for item in self.list():
            item.process.poll()
            item.output.close()

    def stop(self, number: int) -> RunProcess:
        """Ask one to stop, as Ctrl-C does: what is computed now is given up, nothing half-done is left.

        Raises
        ------
        RequestError
            If there is none of this number.
        """
        for item in self.list():
            if item.number == number:
                if item.process.poll() is None:
                    item.is_stopping = True
                    item.process.send_signal(signal.SIGTERM)
                return item
        msg = f"no run of the number {number} was started from here"
        raise RequestError(msg, hint="load the page again")


def stop_runner(runner: Mapping[str, Any]) -> None:
    """Ask the runner that a lease names to stop, if it is an `nwbpipe run` or `watch` of this user and machine.

    Who may write in the state folder may write a lease with any process's number: nothing but a runner is asked.

    Raises
    ------
    RequestError
        If it is not.
    """
    import psutil

    msg = "the runner can't be stopped from here"
    if not runner.get("is_here"):
        raise RequestError(msg, found="it runs on another machine", hint="stop it there: Ctrl-C, or the scheduler")
    try:
        process = psutil.Process(int(runner["pid"]))
        is_ours = process.uids().real == os.getuid() and abs(process.create_time() - runner["pid_since"]) < 1.0
        words = process.cmdline()
    except (psutil.Error, KeyError, TypeError, ValueError, OverflowError) as error:
        raise RequestError(msg, found=f"its process can't be seen: {error}") from error
    if not is_ours or not _is_runner(words):
        raise RequestError(
            msg,
            expected="an `nwbpipe run` of this user",
            found=" ".join(words[:4]),
            hint="stop it where it was started",
        )
    process.send_signal(signal.SIGTERM)


def _is_runner(words: Sequence[str]) -> bool:
    """Return True if a command line is ``nwbpipe run …`` or ``watch``: the script, or ``python … -m nwbpipe``."""
    is_python = bool(words) and "python" in os.path.basename(words[0])  # noqa: PTH119
    for index, word in enumerate(words[:-1]):
        can_be = index == 0 or (is_python and (index == 1 or words[index - 1] == "-m"))
        if can_be and os.path.basename(word) == "nwbpipe" and words[index + 1] in ("run", "watch"):  # noqa: PTH119
            return True
    return False
