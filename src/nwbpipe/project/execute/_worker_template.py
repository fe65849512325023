"""Start workers as forks of a Python that has imported what they need: it takes half of a small worker's CPU time.

That Python is a fork of the command `nwbpipe run` itself, which has imported a third of it already, or a new process.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

from nwbpipe.machine import child_python, close_python_path, end_reader, end_with, is_own_process, may_fork, preload

TEMPLATE = "--template"
_MESSAGE = 64


class WorkerTemplate:
    """A Python that is forked for each worker, and ends with the process that started it."""

    def __init__(self) -> None:
        self._control, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process: subprocess.Popen[bytes] | Fork
        with child_end:
            if is_own_process() and may_fork() and can_fork():
                self.process = _fork_template(child_end.fileno())
                return
            self.process = subprocess.Popen(
                child_python("-m", "nwbpipe.project.execute._worker", TEMPLATE),
                stdin=child_end.fileno(),
                stdout=subprocess.DEVNULL,
                env=close_python_path(os.environ),
                start_new_session=True,
            )

    def fork(self) -> ForkedWorker:
        """Ask for a worker; it is there when its first message comes. One that can't be had has ended at once."""
        child_input, our_input = os.pipe()
        our_output, child_output = os.pipe()
        answer, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with child_end, suppress(OSError):  # who reads its output learns that the template has gone
            socket.send_fds(self._control, [b"fork"], [child_input, child_output, child_end.fileno()])
        os.close(child_input)
        os.close(child_output)
        return ForkedWorker(self, answer, our_input, our_output)

    @property
    def is_alive(self) -> bool:
        """True as long as it can be forked."""
        return self.process.poll() is None

    def end(self) -> None:
        """End it: it reads the end of its input. Its workers end with theirs."""
        end_reader(self.process, self._control)


class Fork:
    """A fork of this process, with what of `subprocess.Popen` is used of it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._descriptor = os.pidfd_open(pid)  # nobody else waits for it: the pid is its own until we have

    def poll(self) -> int | None:
        """Return the exit code; None while it works."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # whoever started us ignores SIGCHLD: how it ended is not known
                pid, status = self.pid if _has_ended(self._descriptor, 0) else 0, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code.

        Raises
        ------
        subprocess.TimeoutExpired
        """
        if self.poll() is None and not _has_ended(self._descriptor, timeout):
            raise subprocess.TimeoutExpired("the Python of workers", timeout or 0.0)
        return self.poll() or 0

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def __del__(self) -> None:
        os.close(self._descriptor)


def _has_ended(descriptor: int, timeout: float | None) -> bool:
    """Wait for the end of a process by its descriptor; return False if it has not come in time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


class ForkedWorker:
    """A worker's process, with what of `subprocess.Popen` is used of it."""

    def __init__(self, template: WorkerTemplate, answer: socket.socket, our_input: int, our_output: int) -> None:
        self._template, self._answer = template, answer
        self._descriptor: int | None = None  # of the process: no later one that has its pid is meant
        self._pid = 0
        self.returncode: int | None = None
        self.stdin: IO[str] = os.fdopen(our_input, "w", encoding="utf-8")
        self.stdout: IO[str] = os.fdopen(our_output, encoding="utf-8")

    @property
    def pid(self) -> int:
        """Its number; 0 if it was not started."""
        self._read_answer()
        return self._pid

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end; return the exit code where it was not started, as the template has ended.

        Raises
        ------
        subprocess.TimeoutExpired
        """
        self._read_answer()
        if self._descriptor is None:
            self.returncode = self._template.process.wait(timeout)
            return self.returncode
        if not _has_ended(self._descriptor, timeout):
            raise subprocess.TimeoutExpired("a worker", timeout or 0.0)
        return None

    def send_signal(self, number: int) -> None:
        """Send it a signal; none if it has ended."""
        self._read_answer()
        if self._descriptor is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _read_answer(self) -> None:
        """Wait until it has been started, or its template has ended."""
        if self._answer.fileno() < 0:
            return
        with self._answer, suppress(OSError):
            message, descriptors = socket.recv_fds(self._answer, _MESSAGE, 1)[:2]
            if message:
                self._pid, self._descriptor = int(message), descriptors[0]

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._answer.close()


def can_fork() -> bool:
    """Return True where a Python with numpy can be forked, and its forks be told from later processes: on Linux."""
    if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def _fork_template(control: int) -> Fork:
    """Fork this process, which has no threads, into one that serves workers and has nothing else of it."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of BLAS, which hold none of our locks
        pid = os.fork()
    if pid:
        return Fork(pid)
    try:
        from nwbpipe.project.execute._worker import main

        end_with(parent)
        _leave_behind(control)
        serve(main)
    except BaseException:  # not to be met by those who called the function that has forked
        traceback.print_exc()
    finally:
        os._exit(1)


def _leave_behind(control: int) -> None:
    """Make a fork what a Python is that was started by itself: its session, streams, signals, files and path."""
    os.setsid()
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.dup2(control, 0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    for descriptor in {int(entry.name) for entry in Path("/proc/self/fd").iterdir()} - {0, 1, 2, null}:
        # Not closed: the object whose file it was would close that of another, later.
        os.dup2(null, descriptor, inheritable=False)
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    variables = close_python_path(os.environ)
    os.environ.pop("PYTHONPATH", None)
    os.environ.update(variables)
    relative = {os.path.abspath(entry) for entry in entries if not os.path.isabs(entry)}  # noqa: PTH100, PTH117
    start = 0 if sys.flags.safe_path else 1  # the first entry is that of the program, or the current folder
    sys.path[:] = [entry for entry in sys.path[start:] if os.path.isabs(entry) and entry not in relative]  # noqa: PTH117


def serve(main: Callable[[], None]) -> NoReturn:
    """Fork for each request that comes through standard input, until it ends; import before what workers need."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who ignores it, as daemons do, would pass that on
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # numpy's threads are made for forks
    while True:
        message, descriptors = socket.recv_fds(control, _MESSAGE, 3)[:2]
        if not message:
            os._exit(0)
        preload("pynwb", "nwbpipe.project.execute._run_job")
        pid = os.fork()
        if pid == 0:
            control.close()
            _become_worker(descriptors)
            main()
            os._exit(0)
        try:
            with socket.socket(fileno=descriptors[2]) as answer:
                descriptor = os.pidfd_open(pid)  # it is not waited for until now: the pid is still its own
                socket.send_fds(answer, [b"%d" % pid], [descriptor])
                os.close(descriptor)
        except OSError:  # who asked is gone
            os.kill(pid, signal.SIGKILL)
            os._exit(1)
        for descriptor in descriptors[:2]:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _become_worker(descriptors: Sequence[int]) -> None:
    """Make a fork what a worker is that was started by itself: its session, streams and random numbers."""
    import numpy as np

    os.setsid()
    os.dup2(descriptors[0], 0)
    os.dup2(descriptors[1], 1)
    for descriptor in descriptors:
        os.close(descriptor)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)  # the template's may have read ahead
    np.random.seed()
