"""The loop of a warm Python: it has imported what runs of a tool need, and is forked for each of them.

Loaded by ``_worker.py --template``, in the tool's own Python: standard library and h5py only, Python 3.9.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MESSAGE = 65536


def serve(main: Callable[[str], None], modules: list[str]) -> None:
    """Import modules, then fork for each request that comes through standard input, until it ends.

    A request is the path of a ``request.json``, with two descriptors: the child's standard input and its output. The
    answers are the child's pid and, once it has ended, its exit code (negative: the signal). It stays a zombie, so
    that no other process gets its pid, until the next message.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who ignores it, as daemons do, never sees how a child ended
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name in modules:
        importlib.import_module(name)
    while True:
        message, descriptors = socket.recv_fds(control, _MESSAGE, 2)[:2]
        request = os.fsdecode(message)
        if not message:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            control.close()
            become_worker(request, descriptors)
            main(request)
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            control.send(b"%d" % pid)
            control.send(b"%d" % wait_for(pid))
            control.recv(_MESSAGE)
        except OSError:  # the process that asked is gone: the child sees that by itself
            os._exit(0)
        os.waitpid(pid, 0)


def become_worker(request: str, descriptors: Any) -> None:
    """Make a fork what a worker is that was started by itself: its session, streams, folder and random numbers."""
    os.setsid()
    for number, descriptor in ((0, descriptors[0]), (1, descriptors[1]), (2, descriptors[1])):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(Path(request).parent)
    sys.argv[1:] = [request]
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()  # else every run would draw what the template would have drawn


def wait_for(pid: int) -> int:
    """Return the exit code of a child, which stays a zombie."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if ended is None:
        return 0
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
