"""Warm Pythons: processes that have imported what runs of a tool need, forked for each run.

Importing h5py takes as long as most of a small run, and a large tool takes seconds. A process that runs many steps
keeps one Python of a tool's environment that has imported them. Each run is a fork of it, in a session of its own and
with its own streams, limits and end, as if it had been started by itself.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from nwbpipe.environments import _worker
from nwbpipe.environments._find import ToolEnvironment
from nwbpipe.machine import end_reader

_Key = tuple[object, ...]
#: Seconds in which a warm Python has imported its modules; what takes longer is started by itself.
_PATIENCE = 300.0
#: So many warm Pythons wait for work; the one that has waited longest makes room.
_MOST_IDLE = 2
_idle: dict[_Key, _WarmPython] = {}
_lock = threading.Lock()


class _WarmPython:
    """A Python that waits for requests; see `_worker_template.serve`."""

    def __init__(self, key: _Key, words: list[str], variables: Mapping[str, str]) -> None:
        self.key = key
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                words,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=dict(variables),
                start_new_session=True,
            )

    def fork(self, request: Path) -> ForkedWorker | None:
        """Start a run; return None if the Python has gone."""
        child_input, our_input = os.pipe()
        our_output, child_output = os.pipe()
        worker = None
        try:
            self.control.settimeout(_PATIENCE)
            socket.send_fds(self.control, [os.fsencode(request)], [child_input, child_output])
            if answer := self.control.recv(64):
                worker = ForkedWorker(self, int(answer), our_input, our_output)
        except OSError:
            pass
        finally:
            os.close(child_input)
            os.close(child_output)
            if worker is None:  # an interrupted request, too: its fork ends with its input
                os.close(our_input)
                os.close(our_output)
                self.process.kill()
                self.end()
        return worker

    def end(self) -> None:
        """End it: it reads the end of its input."""
        end_reader(self.process, self.control)


class ForkedWorker:
    """A run's process, with what of `subprocess.Popen` is used of it."""

    def __init__(self, python: _WarmPython, pid: int, child_input: int, child_output: int) -> None:
        self._python = python
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: IO[bytes] = os.fdopen(child_input, "wb", buffering=0)
        self.stdout: IO[bytes] = os.fdopen(child_output, "rb")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code, negative for a signal.

        Raises
        ------
        subprocess.TimeoutExpired
        """
        if self.returncode is None:
            self._python.control.settimeout(timeout)
            try:
                # It stays in the socket, for an interrupt may come before it is kept here.
                answer = self._python.control.recv(64, socket.MSG_PEEK)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("a run in a warm Python", timeout or 0.0) from None
            except OSError:
                answer = b""
            self.returncode = int(answer) if answer else -signal.SIGKILL
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code, or None as long as it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0.0)
        return None

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def release(self) -> None:
        """Give the Python back once the run, and all that it started, have ended."""
        self.stdin.close()
        try:
            self._python.control.recv(64)  # the exit code
            self._python.control.send(b"ended")
        except OSError:
            self._python.end()
            return
        with _lock:
            spare = [_idle.pop(self._python.key, None)]
            _idle[self._python.key] = self._python
            while len(_idle) > _MOST_IDLE:
                spare.append(_idle.pop(next(iter(_idle))))
        for python in spare:
            if python is not None:
                python.end()


def fork_worker(
    environment: ToolEnvironment, words: list[str], request: Path, variables: Mapping[str, str]
) -> ForkedWorker | None:
    """Start a worker as a fork of a warm Python.

    Parameters
    ----------
    environment : ToolEnvironment
    words : list of str
        The command that would start a worker by itself, without the request.
    request : Path
        Its ``request.json``; the folder is where it runs.
    variables : mapping of str to str
        All of its environment variables.

    Returns
    -------
    ForkedWorker or None
        None where a worker has to be started by itself: elsewhere than on Linux, in a container, or of a tool that
        can't be forked.
    """
    modules = environment.tool.preload
    if modules is None or environment.container is not None or not sys.platform.startswith("linux"):
        return None
    # Another version, another Python, other variables: another warm Python.
    key = (
        *words,
        *modules,
        environment.python_version,
        *sorted(environment.packages.items()),
        *sorted(variables.items()),
    )
    with _lock:
        python = _idle.pop(key, None)
    if python is not None:
        worker = python.fork(request)
        if worker is not None:
            return worker
    try:
        return _WarmPython(key, [*words, _worker.TEMPLATE, "h5py", *modules], variables).fork(request)
    except OSError:  # such a socket is not known to every system that calls itself Linux
        return None


def end_warm() -> None:
    """End the Pythons that wait for work."""
    with _lock:
        waiting = list(_idle.values())
        _idle.clear()
    for python in waiting:
        python.end()


def _forget() -> None:
    """Leave the Pythons to the process that we were forked from."""
    global _lock
    # Another thread of that process may have held it.
    _lock = threading.Lock()
    for python in _idle.values():
        python.process.returncode = 0  # no child of ours
    _idle.clear()


atexit.register(end_warm)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
