"""Call a function for many items in forks of this process, one for each core."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

_MOST = 16  # forks: a large machine is shared with others
T = TypeVar("T")
R = TypeVar("R")
_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_is_own = False


def claim_process() -> None:
    """Say that this process runs a command of nwbpipe, and no program of the user's that has more in it."""
    global _is_own
    _is_own = True


def is_own_process() -> bool:
    """Return True in a process of the command line: a fork of it may go on for long, and do other work."""
    return _is_own


def may_fork() -> bool:
    """Return True where a fork is safe: h5py holds its own lock over one; other threads may hold others."""
    return sys.platform == "linux" and threading.active_count() == 1


def map_forked(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    instead: Callable[[T], R] | None = None,
    timeout_s: float | None = None,
) -> Iterator[R]:
    """Yield what a function returns for each item, in their order.

    What it raises is raised here, with its traceback: it is called here again for the item.

    Parameters
    ----------
    function : callable
        It is called in a fork of this process: what it changes in memory is lost. What it returns is pickled.
    items : sequence
    instead : callable, optional
        It is called here for an item of which a fork raised an error, or returned what can't be pickled, ended or
        hung, for those that this fork had left, and where there can be no fork; `function` by default.
    timeout_s : float, optional
        Seconds after which an item counts as hung.
    """
    here = instead or function
    count = min(len(os.sched_getaffinity(0)), len(items), _MOST) if may_fork() else 0
    forks: list[tuple[int, Connection]] = []
    try:
        with suppress(OSError):  # no more processes or memory: what a fork would have done is done here
            for number in range(count):
                forks.append(_start(function, items[number::count], [answers for _, answers in forks]))
        for number, item in enumerate(items):
            place = number % count if count else 0
            answer = _receive(*forks[place], timeout_s) if place < len(forks) else None
            yield here(item) if answer is None else answer[0]
    finally:
        for pid, answers in forks:
            _end(pid, answers)


def _start(function: Callable[[T], R], items: Sequence[T], others: Sequence[Connection]) -> tuple[int, Connection]:
    """Start a fork that sends what the function returns for each item, and ends when nobody listens."""
    parent = os.getpid()
    answers, sender = Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of BLAS, which hold none of our locks
        pid = os.fork()
    if pid == 0:
        try:
            faulthandler.disable()  # if it crashes, its parent goes on
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            end_with(parent)
            for connection in (answers, *others):
                connection.close()
            for item in items:
                try:
                    sender.send((function(item),))
                except Exception:  # pickled, an error may lose its type, and loses its traceback
                    sender.send(None)
        finally:
            os._exit(0)
    sender.close()
    return pid, answers


def end_with(parent: int) -> None:
    """Let the kernel kill this fork when its parent ends in any way: what it computes may take hours."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Process(Protocol):
    """A child process: `subprocess.Popen`, or a fork that has these two of its methods."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end."""

    def kill(self) -> None:
        """End it at once."""


def end_reader(process: Process, control: socket.socket) -> None:
    """End a process that works as long as its input goes on, whose other end is `control`; by force after 5 s."""
    control.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _receive(pid: int, answers: Connection, timeout_s: float | None) -> tuple[Any] | None:
    """Return the next answer of a fork; None if it raised an error, hangs, or has ended without one."""
    if answers.closed:
        return None
    try:
        if answers.poll(timeout_s):
            answer: tuple[Any] | None = answers.recv()
            return answer
    except (EOFError, OSError):
        pass
    except Exception:  # the answer, read to its end, can't be unpickled
        return None
    _end(pid, answers)
    return None


def _end(pid: int, answers: Connection) -> None:
    if not answers.closed:
        answers.close()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):  # whoever started us ignores SIGCHLD: the kernel has waited for it
            os.waitpid(pid, 0)
