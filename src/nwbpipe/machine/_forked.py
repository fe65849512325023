"""Call a function for many items in forks of this process, one for each core."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
R = TypeVar("R")


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
    """Yield what a function returns for each item, in their order; what it raises is raised here.

    Parameters
    ----------
    function : callable
        It is called in a fork of this process: what it changes in memory is lost. What it returns is pickled.
    items : sequence
    instead : callable, optional
        It is called here for an item whose fork ended or hung, for those that this fork had left, and where there can
        be no fork; `function` by default.
    timeout_s : float, optional
        Seconds after which an item counts as hung.
    """
    here = instead or function
    count = min(len(os.sched_getaffinity(0)), len(items)) if may_fork() else 0
    forks: list[tuple[int, Connection]] = []
    try:
        for number in range(count):
            forks.append(_start(function, items[number::count], [answers for _, answers in forks]))
        for number, item in enumerate(items):
            answer = _receive(*forks[number % count], timeout_s) if count else None
            yield here(item) if answer is None else answer()
    finally:
        for pid, answers in forks:
            _end(pid, answers)


def _start(function: Callable[[T], R], items: Sequence[T], others: Sequence[Connection]) -> tuple[int, Connection]:
    """Start a fork that sends what the function returns for each item, and ends when nobody listens."""
    answers, sender = Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of BLAS, which hold none of our locks
        pid = os.fork()
    if pid == 0:
        try:
            faulthandler.disable()  # if it crashes, its parent goes on
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for connection in (answers, *others):
                connection.close()
            for item in items:
                try:
                    answer: Any = partial(_give, function(item))
                except Exception as error:
                    answer = partial(_raise, error)
                sender.send(answer)
        finally:
            os._exit(0)
    sender.close()
    return pid, answers


def _give(value: T) -> T:
    return value


def _raise(error: Exception) -> NoReturn:
    raise error


def _receive(pid: int, answers: Connection, timeout_s: float | None) -> Callable[[], Any] | None:
    """Return what gives or raises the next answer of a fork; None if it hangs or has ended without one."""
    if answers.closed:
        return None
    with suppress(EOFError, OSError):
        if answers.poll(timeout_s):
            answer: Callable[[], Any] = answers.recv()
            return answer
    _end(pid, answers)
    return None


def _end(pid: int, answers: Connection) -> None:
    if not answers.closed:
        answers.close()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
