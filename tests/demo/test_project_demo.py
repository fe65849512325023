"""The demo of a project: held to its truth, and finished by the next call after any kill -9."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

from nwbpipe import read_records
from nwbpipe.cli import main
from nwbpipe.demo import ProjectDemoReport, run_project_demo
from nwbpipe.errors import OverwriteError
from nwbpipe.project.state import Leases
from nwbpipe.simulate import load_photometry_truth, simulate_photometry_session
from nwbpipe.stores import open_store
from tests.fixtures.kills import left_over, role, tree

STEPS = ["convert", "dff_lock_in", "dff_spectrogram", "lock_in", "spectrogram"]


def silent(_text: str) -> None:
    """Say nothing."""


# Held to the truth ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ProjectDemoReport:
    return run_project_demo(tmp_path_factory.mktemp("demo"), sessions=1, duration_s=30.0, say=silent)


def stats(project: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in [*project.glob("nwb/*/*"), *project.glob("raw/*/*")]}


@pytest.mark.slow
def test_a_project_is_run_held_to_its_truth_and_not_run_again(report: ProjectDemoReport) -> None:
    assert report.passed, report.format_table()
    assert [row.stream for row in report.rows] == ["sim001"] * 3 + ["project"] * 2
    assert report.rows[-2].found == 5
    assert report.rows[-2].note == "5 in this call"
    before = stats(report.project)
    again = run_project_demo(report.project, sessions=1, say=silent)
    assert again.passed
    assert again.rows[-2].note == "0 in this call"
    assert stats(report.project) == before


@pytest.mark.slow
def test_a_result_that_misses_the_truth_fails(report: ProjectDemoReport, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(report.project, folder)
    other = simulate_photometry_session(tmp_path / "other", seed=9, duration_s=30.0)
    shutil.copy(tmp_path / "other/truth/photometry.npz", folder / "raw/sim001/truth/photometry.npz")
    assert np.array_equal(load_photometry_truth(folder / "raw/sim001").dff, other.dff)
    again = run_project_demo(folder, sessions=1, say=silent)
    assert not again.passed
    assert [row.passed for row in again.rows] == [False, False, True, True, True]
    assert "NOT RECOVERED" in again.format_table()


def test_another_project_is_left_alone(tmp_path: Path) -> None:
    text = 'nwbpipe = 1\n[project]\nname = "mine"\nsessions = "nwb://*.nwb"\n[stores]\nnwb = "nwb"\nstate = "state"\n'
    (tmp_path / "nwbpipe.toml").write_text(text)
    with pytest.raises(OverwriteError, match="has another project"):
        run_project_demo(tmp_path, say=silent)
    assert [path.name for path in tmp_path.iterdir()] == ["nwbpipe.toml"]


def test_a_folder_with_files_of_somebody_is_left_alone(tmp_path: Path) -> None:
    table = tmp_path / "raw" / "sim001" / "photometry.csv"
    table.parent.mkdir(parents=True)
    table.write_text("mine")
    with pytest.raises(OverwriteError, match="has other files"):
        run_project_demo(tmp_path, say=silent)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [table]


@pytest.mark.parametrize(
    "words",
    [["--executor", "dask"], ["--workers", "3"], ["--project", "--seed", "3"], ["--project", "--executor", "x"]],
)
def test_requests_that_mean_nothing(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbpipe.demo._project.simulate_photometry_session", lambda *given, **named: None)
    with pytest.raises(SystemExit) as ended:
        main(["demo", str(tmp_path / "demo"), *words])
    assert ended.value.code == 2


# kill -9 ----------------------------------------------------------------------------------------------------


def call(folder: Path, executor: str) -> subprocess.Popen[bytes]:
    """Start the demo as a user does."""
    words = [sys.executable, "-m", "nwbpipe", "demo", "--project", str(folder), "--executor", executor]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def some(runner: subprocess.Popen[bytes], wanted: str) -> list[psutil.Process]:
    """Return the living processes below a runner that have a role."""
    return [one for one in tree(runner) if role(one) == wanted]


def kill_one(runner: subprocess.Popen[bytes], wanted: str, ready: Callable[[], bool]) -> None:
    """Kill a process of that role with -9, once the project has come that far."""
    while runner.poll() is None:
        found = some(runner, wanted) if ready() else []
        if found:
            try:
                os.kill(found[-1].pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            return
        time.sleep(0.02)
    pytest.fail(f"the demo ended before there was a {wanted}: {runner.communicate()[0].decode()}")


def content(folder: Path) -> dict[str, object]:
    """All that was computed: every data set of the results, and the runs with their keys."""
    found: dict[str, object] = {}
    for path in sorted(folder.glob("nwb/*/*.nwb")):
        records = read_records(path)
        assert sorted(record.step for record in records) == STEPS, path
        found[path.name] = sorted((record.step, record.key) for record in records)
        with h5py.File(path) as file:

            def take(name: str, item: object, path: Path = path) -> None:
                if isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype) is None:
                    values = np.asarray(item[()])  # texts are objects, whose bytes are addresses
                    found[f"{path.name} {name}"] = values.tolist() if values.dtype == object else values.tobytes()

            for group in ("acquisition", "processing"):
                file[group].visititems(take)
    return found


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a run that nobody disturbs leaves."""
    folder = tmp_path_factory.mktemp("clean")
    assert run_project_demo(folder, say=silent).passed
    return content(folder)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("executor", ["local", "dask"])
def test_any_process_may_be_killed(
    executor: str, tmp_path: Path, own_places: Path, clean: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTS_COUNTER", str(tmp_path))  # by this our processes are known
    folder = tmp_path / "demo"

    def files(pattern: str) -> Callable[[], bool]:
        return lambda: any(folder.glob(pattern))

    def done(number: int) -> Callable[[], bool]:
        return lambda: len(list(folder.glob("state/runs/done/**/*.json"))) >= number

    # Each call is killed in another place; the runner's own death ends it, the others' it survives or says so.
    places: list[list[tuple[str, Callable[[], bool]]]] = [
        [("runner", files("raw/sim002/*"))],  # while it simulates
        [("worker", files("state/leases/*")), ("runner", done(1))],  # under a conversion, and under a step
        [("tool", done(2)), ("tool", done(4)), ("worker", done(5)), ("runner", done(7))],
    ]
    for victims in places:
        with call(folder, executor) as runner:
            for wanted, ready in victims:
                kill_one(runner, wanted, ready)
            output = runner.communicate(timeout=500)[0].decode()
        assert runner.returncode == -signal.SIGKILL, output
    with call(folder, executor) as runner:
        output = runner.communicate(timeout=500)[0].decode()
    assert runner.returncode == 0, output
    assert "all recovered" in output
    assert content(folder) == clean
    done_runs = Counter(path.parent.as_posix() for path in folder.glob("state/runs/done/**/*.json"))
    # Whoever dies between a commit and what is told of it leaves the record in the file alone.
    assert set(done_runs.values()) == {1}
    assert list(Leases(open_store(folder / "state")).list_active()) == []
    assert not [path for path in folder.rglob(".*") if path.suffix in (".journal", ".partial")]
    assert [entry for entry in (own_places / "scratch").iterdir() if entry.is_dir()] == []
    monkeypatch.delenv("TESTS_COUNTER")
    assert left_over(tmp_path) == []
