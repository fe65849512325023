"""kill -9 of runner, worker and tool: nothing is lost, nothing is done twice, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fixtures.kills import RUN, STEPS, batter, check, left_over, lines, role, tree
from tests.fixtures.projects import make_project

pytestmark = pytest.mark.usefixtures("test_processors")


def battered(
    tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch, kills: int, kind: str, sessions: int = 2
) -> None:
    monkeypatch.setenv("TESTS_COUNTER", str(tmp_path / "counter"))
    scratch = own_places / "scratch"
    done = batter(tmp_path, kills, seed=7, scratch=scratch, kind=kind, sessions=sessions)
    print(done.kills, "kills,", done.starts, "starts")
    assert sum(done.kills.values()) >= kills
    assert [entry for entry in scratch.iterdir() if entry.is_dir()] == []
    monkeypatch.delenv("TESTS_COUNTER")
    assert left_over(tmp_path) == []


@pytest.mark.thorough
def test_a_few_kills(tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    battered(tmp_path, own_places, monkeypatch, 3, "local", sessions=1)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("kind", "kills"), [("local", 200), ("dask", 20)])
def test_many_kills(tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch, kind: str, kills: int) -> None:
    battered(tmp_path, own_places, monkeypatch, kills, kind)


# A terminal sends Ctrl-C to all processes in the foreground; what a background process would inherit ignores it.
INTERRUPTIBLE = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.parametrize("kind", ["local", pytest.param("dask", marks=pytest.mark.long)])
def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(
    kind: str, tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTS_COUNTER", str(tmp_path / "counter"))
    project = tmp_path / "lab"
    seconds = 1.5 if kind == "local" else 20  # Dask stops slowly on a busy machine
    slow = STEPS.replace("KIND", kind).replace("add = 3, seconds = 0.2", f"add = 3, seconds = {seconds}")
    make_project(project, 1, slow)  # the second step can't end while all is being stopped
    words = [*RUN, "--project", str(project)]
    runner = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    while not (list(project.glob("state/runs/done/**/*.json")) and any(role(one) == "tool" for one in tree(runner))):
        assert runner.poll() is None, runner.communicate()[0].decode()
        time.sleep(0.02)
    os.killpg(runner.pid, signal.SIGINT)
    output = runner.communicate(timeout=100)[0].decode()
    assert runner.returncode == 1, output
    assert "stopped; run again to go on" in output
    assert "Traceback" not in output
    assert list(project.glob("state/leases/*.json")) == []
    assert list(project.glob("state/runs/failed/**/*.json")) == []
    committed = {path.name: path.read_bytes() for path in project.glob("state/runs/done/**/*.json")}
    assert 0 < len(committed) < 3
    again = subprocess.run(words, capture_output=True, text=True, timeout=500, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{3 - len(committed)} done, 0 failed" in again.stdout  # nothing that was committed is done again
    check(project, 1)
    assert (
        committed.items() <= {path.name: path.read_bytes() for path in project.glob("state/runs/**/*.json")}.items()
    )
    assert [entry for entry in (own_places / "scratch").iterdir() if entry.is_dir()] == []
    monkeypatch.delenv("TESTS_COUNTER")
    assert left_over(tmp_path) == []


@pytest.mark.thorough
@pytest.mark.parametrize("sessions", [1, pytest.param(4, marks=pytest.mark.long)])
def test_two_runners_compute_each_run_once(
    sessions: int, tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTS_COUNTER", str(tmp_path / "counter"))
    make_project(tmp_path / "lab", sessions, STEPS.replace("KIND", "local").replace("workers = 2", "workers = 1"))
    words = [*RUN, "--project", str(tmp_path / "lab")]
    runners = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    for runner in runners:
        output = runner.communicate(timeout=500)[0].decode()
        assert runner.returncode == 0, output
    check(tmp_path / "lab", sessions)
    computed = Counter(
        (one["session"], one["step"]) for one in lines(tmp_path / "counter") if one["what"] == "compute"
    )
    assert len(computed) == 3 * sessions
    assert set(computed.values()) == {1}
    assert list((tmp_path / "lab/state/leases").glob("*.json")) == []
