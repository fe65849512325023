"""kill -9 of runner, worker and tool: nothing is lost, nothing is done twice, nothing is left."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.fixtures.kills import RUN, STEPS, batter, check, left_over, lines
from tests.fixtures.projects import make_project

pytestmark = pytest.mark.usefixtures("test_processors")


def battered(tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch, kills: int, kind: str) -> None:
    monkeypatch.setenv("TESTS_COUNTER", str(tmp_path / "counter"))
    scratch = own_places / "scratch"
    done = batter(tmp_path, kills, seed=7, scratch=scratch, kind=kind)
    print(done.kills, "kills,", done.starts, "starts")
    assert sum(done.kills.values()) >= kills
    assert [entry for entry in scratch.iterdir() if entry.is_dir()] == []
    monkeypatch.delenv("TESTS_COUNTER")
    assert left_over(tmp_path) == []


def test_a_few_kills(tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    battered(tmp_path, own_places, monkeypatch, 3, "local")


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("kind", "kills"), [("local", 200), ("dask", 20)])
def test_many_kills(tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch, kind: str, kills: int) -> None:
    battered(tmp_path, own_places, monkeypatch, kills, kind)


def test_two_runners_compute_each_run_once(tmp_path: Path, own_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTS_COUNTER", str(tmp_path / "counter"))
    make_project(tmp_path / "lab", 2, STEPS.replace("KIND", "local").replace("workers = 2", "workers = 1"))
    words = [*RUN, "--project", str(tmp_path / "lab")]
    runners = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    for runner in runners:
        output = runner.communicate(timeout=500)[0].decode()
        assert runner.returncode == 0, output
    check(tmp_path / "lab", 2)
    computed = Counter(
        (one["session"], one["step"]) for one in lines(tmp_path / "counter") if one["what"] == "compute"
    )
    assert len(computed) == 6
    assert set(computed.values()) == {1}
    assert list((tmp_path / "lab/state/leases").glob("*.json")) == []
