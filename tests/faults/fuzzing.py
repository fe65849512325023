"""Mutations of what strangers give, and the promise that each of them is held to.

A mutant ends in an error of nwbpipe or in a result, within 20 s and 3 GiB. It raises nothing else, starts no program,
makes no connection, and writes and removes nothing outside of its folder.
"""

from __future__ import annotations

import copy
import json
import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from nwbpipe.errors import NwbpipeError

SECONDS = 20
MEMORY = 3 * 2**30
_LONG = os.environ.get("NWBPIPE_FAULTS") == "long"


def fuzz(quick: int, long: int) -> settings:
    """Run so many cases in ``make test`` (always the same ones), and in ``make faults``."""
    return settings(
        max_examples=long if _LONG else quick,
        derandomize=not _LONG,
        deadline=None,
        database=None,
        phases=(Phase.generate,),  # mutants are small as they are
        suppress_health_check=list(HealthCheck),
    )


# Mutations ---------------------------------------------------------------------------------------------------

ODD: list[Any] = [
    None, True, False, 0, 7, -1, 1e308, float("nan"), float("inf"), 10**30, "", " ", "x" * 300, "a\nb", "\x1b[2J",
    "\u202ex", "é" * 90, "../../etc/passwd", "/etc/passwd", "~/.ssh", "{subject_id", "%s%n", "[", "(a+)+$", "\0",
    "s3://no/such", "raw://..", "file:///etc/passwd", "042", "2024-13-45", "9" * 5000, [], {}, [[1]], [None],
    {"": {}}, {"a": {"a": {"a": 1}}}, ["a"] * 40,
]  # fmt: skip


class Edit:
    """A change of one place of a tree of mappings and lists, chosen by a number."""

    def __init__(self, place: int, action: str, value: Any) -> None:
        self.place, self.action, self.value = place, action, value

    def __repr__(self) -> str:
        return f"Edit({self.place}, {self.action!r}, {repr(self.value)[:60]})"

    def apply(self, tree: Any) -> None:
        places = list(_places(tree))
        if not places:
            return
        holder, key = places[self.place % len(places)]
        value = copy.deepcopy(self.value)
        if self.action == "replace":
            holder[key] = value
        elif self.action == "wrap":
            holder[key] = [holder[key]]
        elif self.action == "nest":
            holder[key] = {"a": holder[key]}
        elif self.action == "remove":
            del holder[key]
        elif isinstance(holder, dict):  # rename
            holder[str(value)[:400]] = holder.pop(key)
        else:
            holder.append(value)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


edits = st.lists(
    st.builds(
        Edit,
        st.integers(0, 500),
        st.sampled_from(["replace", "replace", "replace", "wrap", "nest", "remove", "rename"]),
        st.sampled_from(ODD),
    ),
    min_size=1,
    max_size=4,
)


def edit_tree(tree: Any, changes: list[Edit]) -> Any:
    """Return a changed copy."""
    changed = copy.deepcopy(tree)
    for change in changes:
        change.apply(changed)
    return changed


#: Changes of bytes: where (a part of the length), the new bytes, and how many old ones they replace.
byte_edits = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.one_of(
            st.binary(min_size=0, max_size=3),
            st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7, b"[" * 3000, b"9" * 5000, b'"', b"{"]),
        ),
        st.sampled_from([0, 1, 1, 1, 2, 4, 8, 64]),
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip
Edits = list[tuple[float, bytes, int]]


def edit_bytes(data: bytes, changes: Edits, *, keep_length: bool = False) -> bytes:
    """Return changed bytes; of the same length, if that is asked for."""
    for part, new, count in changes:
        at = int(part * len(data))
        data = data[:at] + new + data[at + (len(new) if keep_length else count) :]
    return data


# The promise -------------------------------------------------------------------------------------------------

_STARTS = frozenset(
    ["subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"]
)
_CHANGES = frozenset(
    ["os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"]
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Broken(BaseException):
    """The promise is broken; no reader catches it."""


class _Watch:
    roots: tuple[str, ...] | None = None
    is_installed = False


_FORKING = ("nwbpipe.files._screening", "nwbpipe.machine._forked")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _Watch.roots is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, int) or not ((flags or 0) & _WRITES or any(letter in (mode or "") for letter in "wax+")):
            return
        _refuse_outside(event, path)
    elif event in _CHANGES:
        for path in arguments[:2] if event in ("os.rename", "os.link", "os.symlink") else arguments[:1]:
            _refuse_outside(event, path)
    elif event in _STARTS:
        if event != "os.fork" or sys._getframe(1).f_globals.get("__name__") not in _FORKING:
            raise Broken(f"{event} {arguments!r:.200}")
    elif event == "socket.connect":
        raise Broken(f"a connection to {arguments[1]}")


def _refuse_outside(event: str, path: Any) -> None:
    if isinstance(path, str | bytes | os.PathLike):
        text = os.path.realpath(os.fsdecode(path))
        if not text.startswith(_Watch.roots or ()) and text != os.devnull:
            raise Broken(f"{event} {text}")


@contextmanager
def held_to_promise(*roots: Path) -> Iterator[None]:
    """Fail where the block does more than read, write below `roots` and raise errors of nwbpipe, or takes long."""
    if not _Watch.is_installed:
        sys.addaudithook(_audit)
        _Watch.is_installed = True

    def stop(*_: Any) -> None:
        raise Broken(f"it takes more than {SECONDS} s of CPU time")

    old = signal.signal(signal.SIGPROF, stop)  # pytest-timeout has the other timers
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    _Watch.roots = (*map(os.path.realpath, roots), *_folders_of_ours())
    try:
        yield
    except NwbpipeError as error:
        _check_message(error)
    finally:
        _Watch.roots = None
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)


def _folders_of_ours() -> list[str]:
    return [os.environ[f"NWBPIPE_{name}"] for name in ("LOGS", "SCRATCH", "CACHE")]


def _check_message(error: NwbpipeError) -> None:
    text = str(error)
    assert error.code != "NP000", text
    assert not set("\x1b\u202e\0") & set(text), text
    assert "Traceback" not in text, text


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let this process take no more than `MEMORY` beyond what it has."""
    import resource

    old = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 2**20
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)


def call_in_fork(act: Callable[[], Any]) -> str:
    """Call a function in a child with limits; return what became of it: "" if all is well."""
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        answer = "it ended without a word"
        try:
            signal.alarm(0)
            with suppress(ValueError, OSError), limited_memory():
                answer = _call(act)
            os.write(writable, json.dumps(answer[-6000:]).encode())
        finally:
            os._exit(0)
    os.close(writable)
    text, end = b"", time.monotonic() + 4 * SECONDS  # the child counts its CPU time; this is for one that waits
    while True:
        is_ready = select.select([readable], [], [], max(0, end - time.monotonic()))[0]
        piece = os.read(readable, 2**16) if is_ready else b""
        text += piece
        if not piece:
            break
    os.close(readable)
    if not is_ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not is_ready:
        return f"no end after {4 * SECONDS} s"
    if os.WIFSIGNALED(status):
        return f"a crash: {signal.strsignal(os.WTERMSIG(status))}"
    return str(json.loads(text)) if text else "it ended without a word"


def _call(act: Callable[[], Any]) -> str:
    try:
        act()
    except BaseException:
        return traceback.format_exc()
    return ""
