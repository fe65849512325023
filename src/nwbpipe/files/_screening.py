"""Refuse an HDF5 file that its reader must not follow, before anything else reads it.

The walk over the file's structure (`_dangers`) runs in a process of its own, with limits of memory and time: a
damaged or crafted file can crash or hang HDF5 itself. The process is a fork (some 20 ms), and a file is looked at
once: while its device, inode, size and times stay, and over commits of our own.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any

import h5py

from nwbpipe.disk import refuse_special
from nwbpipe.errors import DamagedFileError, NwbpipeError, UnsafeFileError
from nwbpipe.files._dangers import Danger, DangerFinder
from nwbpipe.files._fresh_stat import read_stat
from nwbpipe.machine import end_with, map_forked, may_fork

MEMORY = 2 * 2**30  # bytes that the walk may take
TIMEOUT = 60.0  # seconds
_SHOWN = 5  # dangers in a message

_State = tuple[int, int, int, int, int]
_screened: dict[str, _State | str] = {}  # by path or URL: the state in which the file was found to be safe


def require_safe(path: Path) -> None:
    """Refuse a local HDF5 file that leads out of its folder, or whose structure is made to harm its reader.

    A file that HDF5 can't open passes: who opens it says why.

    Raises
    ------
    UnsafeFileError
        It names the objects.
    DamagedFileError
        If HDF5 crashes on it, or does not come to an end.
    FileAccessError
        If it is a pipe, a socket or a device.
    """
    path = _find_real(path)
    refuse_special(path)
    state = state_of(path)
    if state is None or _screened.get(str(path)) == state:
        return
    _judge(path, state, _walk_in_fork(path) if may_fork() else walk(path))


def screen(paths: Sequence[Path]) -> None:
    """Look at local files as `require_safe` will, which then finds it done: in a fork a core, not a file.

    What is wrong with a file is said by `require_safe`.
    """
    if not may_fork():
        return
    states: dict[Path, _State] = {}
    for path in map(_find_real, paths):
        state = state_of(path)
        if state is not None and path.is_file() and _screened.get(str(path)) != state:
            states[path] = state
    unknown = list(states)
    reports = map_forked(_walk_limited, unknown, instead=_leave, timeout_s=TIMEOUT)
    for path, report in zip(unknown, reports, strict=True):
        with suppress(NwbpipeError):
            _judge(path, states[path], report)


def _find_real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # `Path.resolve` fails at links that lead in a circle


def _leave(_: Path) -> dict[str, Any]:
    """Find nothing in a file, on whose neighbour a fork has ended: it will be looked at by itself."""
    return {}


def _walk_limited(path: Path) -> dict[str, Any]:
    _limit_memory()
    return walk(path)


def _judge(path: Path, state: _State, report: dict[str, Any]) -> None:
    """Count a file as safe in a state, or raise what a walk has found."""
    if report.get("dangers"):
        raise unsafe_error(str(path), [Danger(*danger) for danger in report["dangers"]])
    if "crash" in report:
        msg = "the file is damaged: HDF5 does not come to the end of it"
        raise DamagedFileError(msg, where=str(path), found=report["crash"], hint="restore it from a copy")
    if report.get("leads_elsewhere") is False and state == state_of(path):
        _screened[str(path)] = state


def is_self_contained(path: Path) -> bool:
    """Return True if no part of a file lies in another one, as `require_safe` found in its present state."""
    return _screened.get(str(path)) == state_of(path)


def open_safe(path: Path, *, locking: bool = False) -> h5py.File:
    """Open a local HDF5 file for reading, once `require_safe` has let it pass."""
    require_safe(path)
    return h5py.File(path, "r", locking=locking)


def require_safe_remote(file: h5py.File, url: str, tag: str) -> None:
    """Refuse an open file at a URL of which a part lies anywhere else; see `require_safe`."""
    if _screened.get(url) != tag:
        dangers = DangerFinder(None).list_first(file)
        if dangers:
            raise unsafe_error(url, dangers)
        _screened[url] = tag


def keep_screened(path: Path | str, old: _State | str | None, new: _State | str | None) -> None:
    """Count a file as safe after a commit of our own, if it was before."""
    if old is not None and new is not None and _screened.get(str(path)) == old:
        _screened[str(path)] = new


def state_of(path: Path) -> _State | None:
    """Return what tells this state of a file from others; None if there is no file."""
    try:
        stat = read_stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def unsafe_error(where: str, dangers: list[Danger]) -> UnsafeFileError:
    """Return the error that names the dangers of a file."""
    listed = [f"{danger.where}: {danger.what} ({danger.found})" for danger in dangers[:_SHOWN]]
    if len(dangers) > _SHOWN:
        listed.append(f"… and {len(dangers) - _SHOWN} more")
    return UnsafeFileError(
        "the file is not safe to read",
        where=where,
        expected="values in the file itself or below its folder, and a structure within bounds",
        found="; ".join(listed),
        hint="ask whoever made the file for a plain copy; nothing of it was read",
    )


def walk(path: Path) -> dict[str, Any]:
    """Return the dangers of a file, found in this process."""
    finder = DangerFinder(path.parent)
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError:
        return {}  # not HDF5, or in the middle of a commit: who reads it finds that out
    try:
        with file:
            dangers = [astuple(danger) for danger in finder.list_first(file)]
            return {"dangers": dangers, "leads_elsewhere": finder.leads_elsewhere}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        return {"crash": f"{type(error).__name__}: {error}"}


def _walk_in_fork(path: Path) -> dict[str, Any]:
    parent = os.getpid()
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of BLAS, which hold none of our locks
        pid = os.fork()
    if pid == 0:
        try:
            os.close(readable)
            faulthandler.disable()  # if it crashes, its parent says so
            end_with(parent)
            answer = json.dumps(_walk_limited(path)).encode()
            while answer:
                answer = answer[os.write(writable, answer) :]
        finally:
            os._exit(0)
    os.close(writable)
    answer, end, ended = b"", time.monotonic() + TIMEOUT, False
    try:
        while not ended and select.select([readable], [], [], max(end - time.monotonic(), 0))[0]:
            piece = os.read(readable, 2**16)
            answer, ended = answer + piece, not piece
    finally:
        os.close(readable)
        if not ended:
            os.kill(pid, signal.SIGKILL)
        status = 0
        with suppress(ChildProcessError):  # whoever started us ignores SIGCHLD: how it ended is not known
            _, status = os.waitpid(pid, 0)
    if not ended:
        return {"crash": f"no end within {TIMEOUT:g} s"}
    if os.WIFSIGNALED(status):
        return {"crash": signal.strsignal(os.WTERMSIG(status)) or "a signal"}
    report: dict[str, Any] = json.loads(answer) if answer else {"crash": "its reader ended without a word"}
    return report


@cache  # a fork that walks over many files has one bound for all
def _limit_memory() -> None:
    """Bound what this process may take beyond what it has."""
    import resource

    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
