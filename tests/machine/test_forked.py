"""Calling a function in forks of this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from nwbpipe.machine import _forked, map_forked, may_fork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux alone")
HERE = os.getpid()
ITEMS = list(range(10))


@pytest.fixture(autouse=True)
def beside_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork beside those threads that a worker of pytest-xdist has, too."""
    monkeypatch.setattr(_forked, "may_fork", lambda: True)


def square(number: int) -> int:
    return number * number


def test_answers_come_in_order_and_from_forks() -> None:
    answers = list(map_forked(lambda number: (square(number), os.getpid()), ITEMS))
    assert [value for value, _ in answers] == [square(number) for number in ITEMS]
    pids = {pid for _, pid in answers}
    assert HERE not in pids
    assert len(pids) == min(len(os.sched_getaffinity(0)), len(ITEMS))
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_large_machine_is_shared_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(128)))
    assert len(set(map_forked(lambda _: os.getpid(), range(100)))) == 16


def test_nothing_is_started_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", None)
    assert list(map_forked(square, [])) == []


def test_an_error_is_raised_in_its_place() -> None:
    def fail(number: int) -> int:
        if number == 4:
            raise ValueError(f"not {number}")
        return number

    answers = map_forked(fail, ITEMS)
    assert [next(answers) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="not 4"):
        next(answers)


def test_an_error_may_be_an_answer() -> None:
    (answer,) = map_forked(lambda _: ValueError("told"), [1])
    assert str(answer) == "told"


@pytest.mark.parametrize(
    "end", [lambda: os._exit(3), lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: time.sleep(60)],
    ids=["ended", "killed", "hung"],
)  # fmt: skip
def test_what_a_fork_leaves_is_done_here(end: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    def work(number: int) -> str:
        if number == 2:
            end()
        return f"fork {number}"

    answers = list(map_forked(work, range(6), instead=lambda number: f"here {number}", timeout_s=3.0))
    assert answers == ["fork 0", "fork 1", "here 2", "fork 3", "here 4", "fork 5"]


def test_what_can_not_be_sent_is_done_here() -> None:
    answers: list[Callable[[], int]] = list(map_forked(lambda number: lambda: number, [1, 2]))
    assert [answer() for answer in answers] == [1, 2]


def test_beside_another_thread_there_is_no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_forked, "may_fork", may_fork)
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    try:
        assert not may_fork()
        assert set(map_forked(lambda _: os.getpid(), ITEMS)) == {HERE}
    finally:
        over.set()
        other.join()


def test_forks_end_with_who_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    start = _forked._start

    def note(*arguments: object) -> object:
        started.append((fork := start(*arguments))[0])  # type: ignore[arg-type]
        return fork

    monkeypatch.setattr(_forked, "_start", note)
    answers = map_forked(lambda number: time.sleep(60 * (number > 1)), ITEMS)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert started
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class OddError(Exception):
    """An error that can't be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def test_an_error_keeps_its_type_and_traceback() -> None:
    def fail(_: int) -> None:
        raise OddError("a", "b")

    with pytest.raises(OddError, match="ab") as raised:
        list(map_forked(fail, ITEMS))
    assert [entry.name for entry in raised.traceback][-1] == "fail"


def test_what_can_not_be_forked_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    fork = os.fork
    forks: list[int] = []

    def fork_once() -> int:
        if forks:
            raise BlockingIOError("too many processes")
        forks.append(pid := fork())
        return pid

    monkeypatch.setattr(os, "fork", fork_once)
    pids = list(map_forked(lambda _: os.getpid(), range(6)))
    assert pids == [forks[0], HERE, HERE] * 2


def test_a_parent_that_ignores_the_end_of_children_has_all_answers() -> None:
    old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert list(map_forked(square, ITEMS)) == [square(number) for number in ITEMS]
    finally:
        signal.signal(signal.SIGCHLD, old)


def test_forks_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = """
import os, sys, time
from nwbpipe.machine import map_forked
def work(number):
    with open(sys.argv[1], "a") as file:
        print(os.getpid(), file=file, flush=True)
    time.sleep(120)
list(map_forked(work, [1]))
"""
    note = tmp_path / "pids"
    parent = subprocess.Popen([sys.executable, "-c", code, str(note)])
    try:
        pid = int(wait_for(lambda: note.is_file() and note.read_text().strip()))
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def wait_for(condition: Callable[[], Any]) -> Any:
    """Return what a condition returns when it is true; fail after a minute."""
    end = time.monotonic() + 60
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value
