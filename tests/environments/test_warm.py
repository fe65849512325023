"""Runs of one process are forks of a Python that has imported h5py, and as good as started by themselves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nwbpipe import environments
from nwbpipe.environments import Tool, _warm
from nwbpipe.errors import ToolKilledError
from tests.environments.test_run import alive, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Pythons are kept warm on Linux")
NUMPY = Tool("numpy", ("numpy>=1.20", "h5py>=3.8"))

PARENT = """
import os, sys
from pathlib import Path
from nwbpipe import environments
from nwbpipe.environments import Tool
folder = Path(sys.argv[1])
found = environments.find(Tool("numpy", ("numpy>=1.20",)))
done = environments.run(found, "tests.fixtures._warm_compute", {"threads": 1}, scratch=folder, log=folder / "log")
print(done.summary["parent"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    _warm.end_warm()
    yield
    _warm.end_warm()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    def run_in(name: str, tool: Tool = NUMPY, devices: str | None = None, **request: Any) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        return environments.run(
            environments.find(tool),
            "tests.fixtures._warm_compute",
            {"threads": 1, "name": name, **request},
            scratch=folder,
            log=folder / "log",
            devices=devices,
        ).summary

    return run_in


def test_runs_are_forks_of_one_python_that_know_nothing_of_each_other(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    runs = [run(name) for name in "abc"]
    assert len({item["parent"] for item in runs}) == 1
    assert len({item["pid"] for item in runs}) == 3
    for name, item in zip("abc", runs, strict=True):
        assert item["session"] == item["pid"]
        assert item["folder"] == str(tmp_path / name)
        assert item["arguments"] == [str(tmp_path / name / "request.json")]
        assert item["first"]
        assert f"in the log of {name}" in (tmp_path / name / "log").read_text()
    for draws in zip(*(item["draws"] for item in runs), strict=True):
        assert len(set(draws)) == 3


def test_other_variables_want_another_python(run: Callable[..., Any]) -> None:
    first, second = run("a", devices="0"), run("b", devices="1")
    assert first["parent"] != second["parent"]
    assert (first["variable"], second["variable"]) == ("0", "1")
    assert run("c", devices="0")["parent"] == first["parent"]


def test_few_wait_for_work(run: Callable[..., Any]) -> None:
    parents = [run(str(number), devices=str(number))["parent"] for number in range(3)]
    assert [alive(pid) for pid in parents] == [False, True, True]
    _warm.end_warm()
    assert not any(map(alive, parents))


def test_a_tool_that_can_not_be_forked_is_started_by_itself(run: Callable[..., Any]) -> None:
    tool = replace(NUMPY, preload=None)
    assert [run(name, tool)["parent"] for name in "ab"] == 2 * [os.getpid()]


def test_a_tool_names_what_is_imported_beforehand(run: Callable[..., Any]) -> None:
    assert run("a")["modules"] == []
    assert run("b", replace(NUMPY, preload=("colorsys",)))["modules"] == ["colorsys"]


def test_a_module_that_can_not_be_imported_leaves_the_run_to_say_so(run: Callable[..., Any]) -> None:
    assert run("a", replace(NUMPY, preload=("no_such_module",)))["parent"] == os.getpid()


def test_a_python_that_was_killed_is_replaced(run: Callable[..., Any]) -> None:
    first = run("a")["parent"]
    os.kill(first, 9)
    wait_for(lambda: not alive(first))
    second = run("b")["parent"]
    assert second not in (first, os.getpid())
    with pytest.raises(ToolKilledError, match="SIGKILL"):
        run("c", kill="template")
    assert run("d")["parent"] not in (first, second, os.getpid())


def test_a_fork_of_this_process_leaves_them_alone(run: Callable[..., Any]) -> None:
    parent = run("a")["parent"]
    pid = os.fork()
    if pid == 0:
        os._exit(len(_warm._idle))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert run("b")["parent"] == parent


def test_they_end_with_the_process_that_keeps_them(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        template = int(parent.stdout.readline())
        assert alive(template)
        parent.kill()
    wait_for(lambda: not alive(template))


@pytest.mark.parametrize("preload", [(), None])
def test_a_run_s_folder_may_have_any_name(preload: tuple[str, ...] | None, run: Callable[..., Any]) -> None:
    name = os.fsdecode(b"a \xff\n'")
    assert run(name, replace(NUMPY, preload=preload))["folder"].endswith(name)


def test_a_caller_that_ignores_its_children_s_ends_is_told_of_the_run_s(run: Callable[..., Any]) -> None:
    earlier = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        first = run("a")
    finally:
        signal.signal(signal.SIGCHLD, earlier)
    assert run("b")["parent"] == first["parent"] != os.getpid()


def test_without_such_sockets_a_run_is_started_by_itself(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(94, "Socket type not supported")

    monkeypatch.setattr(socket, "socketpair", refuse)
    assert run("a")["parent"] == os.getpid()


def interrupt_after(monkeypatch: pytest.MonkeyPatch, answers: list[bytes]) -> None:
    """Let Ctrl-C come when the next answer has been received."""
    real = socket.socket.recv

    def receive(control: socket.socket, *words: int) -> bytes:
        answers.append(real(control, *words))
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(socket.socket, "recv", receive)


def test_ctrl_c_while_a_run_begins_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bytes] = []
    interrupt_after(monkeypatch, answers)
    with pytest.raises(KeyboardInterrupt) as caught:
        environments.run(
            environments.find(NUMPY), "tests.fixtures._family_compute", {}, scratch=tmp_path, log=tmp_path / "log"
        )
    assert caught.traceback  # which holds all that could be collected
    wait_for(lambda: not alive(int(answers[0])))
    assert _warm._idle == {}


def test_ctrl_c_takes_no_exit_code_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        python = object.__new__(_warm._WarmPython)
        python.control, python.key = ours, ("a test",)
        worker = _warm.ForkedWorker(python, 1, os.open(os.devnull, os.O_WRONLY), os.open(os.devnull, os.O_RDONLY))
        theirs.send(b"-15")
        interrupt_after(monkeypatch, [])
        with pytest.raises(KeyboardInterrupt):
            worker.wait()
        assert worker.wait(0) == worker.poll() == -15
        worker.release()
        assert (theirs.recv(64), list(_warm._idle.values())) == (b"ended", [python])
        _warm._idle.clear()
        worker.stdout.close()
