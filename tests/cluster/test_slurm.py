"""`nwbpipe submit` on a real SLURM of one node: each run once, whatever ends the workers."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from nwbpipe.errors import WorkError
from nwbpipe.machine import trust
from nwbpipe.project import Project, cancel_submissions, list_queued, prepare_submission, submit_workers
from tests.fixtures.programs import wait_for
from tests.fixtures.projects import make_project
from tests.fixtures.slurm import Slurm

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1200), pytest.mark.usefixtures("test_processors", "own_places")]

STEPS = """
[steps.first]
processor = "count"
params = { add = 1, label = "first", seconds = SECONDS }
[executor]
kind = "slurm"
retries = RETRIES
[executor.kinds.standard]
workers = WORKERS
memory = "MEMORY"
"""


def make_lab(folder: Path, sessions: int, *, seconds: float = 0, more: str = "", **values: object) -> Project:
    text = STEPS.replace("SECONDS", f"{seconds:.1f}")
    for name, value in {"retries": 2, "workers": 4, "memory": "1GB", **values}.items():
        text = text.replace(name.upper(), str(value))
    return make_project(folder / "lab", sessions, text + more)


@pytest.fixture(autouse=True)
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "counter"
    monkeypatch.setenv("TESTS_COUNTER", str(path))
    return path


def computations(counter: Path) -> Counter[str]:
    lines = counter.read_text().splitlines() if counter.exists() else []
    return Counter(line["session"] for line in map(json.loads, lines) if line["what"] == "compute")


def has_begun(counter: Path) -> bool:
    return counter.exists()


def all_done(project: Project) -> bool:
    return {state.state for plan in project.status().plans for state in plan.steps} == {"done"}


def find_workers(project: Project) -> list[psutil.Process]:
    words = f"--project={project.spec.path}"
    return [process for process in psutil.process_iter(["cmdline"]) if words in (process.info["cmdline"] or [])]


def test_forty_sessions_are_computed_once_each(slurm: Slurm, tmp_path: Path, counter: Path) -> None:
    project = make_lab(tmp_path, 40)
    submission = submit_workers(prepare_submission(project))
    assert [(array.size, array.round) for array in submission.arrays] == [(4, 1), (4, 2)]

    def reasons() -> set[str]:
        return {job.reason for queued in list_queued(project) for job in queued.jobs}

    wait_for(lambda: "Dependency" in reasons(), "the second round to wait for the first")  # not told at once
    slurm.wait(900)
    assert all_done(project)
    assert list(computations(counter).values()) == [1] * 40
    assert list_queued(project) == []
    assert list((tmp_path / "lab/state/leases").glob("*.json")) == []
    # Same keys as of a run on this machine.
    keys = {run.session: run.key for run in project.runs()}
    here = make_project(tmp_path / "here", 1, STEPS.partition("[executor]")[0].replace("SECONDS", "0.0"))
    assert here.run(workers=1).done == 1
    assert here.runs()[0].key == keys["m1/s0"]


@pytest.mark.parametrize("how", ["scancel", "kill"])
def test_work_of_a_worker_that_ends_early_is_done_by_the_next_round(
    how: str, slurm: Slurm, tmp_path: Path, counter: Path
) -> None:
    project = make_lab(tmp_path, 2, seconds=5)
    submission = submit_workers(prepare_submission(project, array=1))
    wait_for(lambda: has_begun(counter), "a run to begin", 120)
    if how == "scancel":
        slurm.ask("scancel", f"{submission.arrays[0].job}_1")
    else:
        for process in find_workers(project):
            process.kill()
    slurm.wait(300)
    assert all_done(project)
    assert max(computations(counter).values()) <= 2
    assert {run.outcome for run in project.runs()} <= {"done", "interrupted"}


def test_the_time_limit_is_told(slurm: Slurm, tmp_path: Path, counter: Path) -> None:
    """One worker, whose run never fits: no hang, and a failure that names the limit."""
    project = make_lab(tmp_path, 1, seconds=200, retries=0, more='walltime = "00:02:00"\n')
    submit_workers(prepare_submission(project))
    slurm.wait(400)
    (state,) = project.state("m1/s0", "first")
    assert state.state == "failed"
    assert "ended by the scheduler at its time limit" in state.reason


def test_the_memory_limit_is_told_by_the_next_worker(slurm: Slurm, tmp_path: Path, counter: Path) -> None:
    hog = f"({sys.executable} -c 'import time; time.sleep(15); held = bytearray(1500000000); time.sleep(60)') &"
    more = f'options = {{ job_script_prologue = ["""{hog}"""] }}\n'
    make_lab(tmp_path, 1, seconds=60, retries=0, memory="900MB", more=more)
    path = tmp_path / "lab" / "nwbpipe.toml"
    trust(path)
    project = Project(path)
    submit_workers(prepare_submission(project))
    slurm.wait(400)
    (state,) = project.state("m1/s0", "first")
    assert state.state == "failed", state
    assert "more memory than it had asked for" in state.reason
    assert state.log.startswith("logs/submit/")


def test_memory_grows_from_round_to_round(slurm: Slurm, tmp_path: Path, counter: Path) -> None:
    """The first round's job is killed for its memory, the second's has twice as much."""
    hog = f"({sys.executable} -c 'import time; time.sleep(12); held = bytearray(1200000000); time.sleep(40)') &"
    more = f'options = {{ job_script_prologue = ["""{hog}"""] }}\n'
    more += "[steps.first.resources]\nmemory_gb = 0.9\nmemory_growth = 2.0\n"
    make_lab(tmp_path, 1, seconds=25, retries=2, memory="900MB", more=more)
    path = tmp_path / "lab" / "nwbpipe.toml"
    trust(path)
    project = Project(path)
    submit_workers(prepare_submission(project, rounds=2))
    slurm.wait(400)
    assert all_done(project)
    assert [run.outcome for run in project.runs()] == ["interrupted", "done"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('queue = "nowhere"\n', "invalid partition"),
        ('memory = "900TB"\n', "Requested node configuration is not available|Memory specification"),
    ],
)
def test_a_refusal_is_told_in_slurm_s_words(change: str, words: str, slurm: Slurm, tmp_path: Path) -> None:
    if change.startswith("memory"):
        project = make_lab(tmp_path, 1, memory="900TB")
    else:
        project = make_lab(tmp_path, 1, more=change)
    with pytest.raises(WorkError, match="refused") as caught:
        submit_workers(prepare_submission(project))
    assert re.search(words, str(caught.value))
    assert slurm.jobs() == []


def test_a_drained_node_is_told_and_cancel_ends_the_wait(slurm: Slurm, tmp_path: Path) -> None:
    project = make_lab(tmp_path, 1)
    node = slurm.ask("sinfo", "--noheader", "--format=%n")
    slurm.ask("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    try:
        submit_workers(prepare_submission(project, rounds=1))

        def reasons() -> str:
            return " ".join(job.reason for queued in list_queued(project) for job in queued.jobs)

        wait_for(lambda: "node" in reasons().lower() or "Resources" in reasons(), "the reason of the wait")
        assert len(cancel_submissions(project)) == 1
        slurm.wait(30)
    finally:
        slurm.ask("scontrol", "update", f"nodename={node}", "state=resume")


def test_a_controller_that_is_started_again_loses_nothing(slurm: Slurm, tmp_path: Path, counter: Path) -> None:
    project = make_lab(tmp_path, 2, seconds=3)
    submit_workers(prepare_submission(project, array=1))
    wait_for(lambda: has_begun(counter), "a run to begin", 120)
    slurm.stop("slurmctld", number=signal.SIGKILL)
    (queued,) = list_queued(project)
    assert "squeue does not answer" in queued.problem
    slurm.start_controller()
    slurm.wait(300)
    assert all_done(project)
    assert list(computations(counter).values()) == [1, 1]


def test_arrays_above_the_limit_are_split(slurm: Slurm, tmp_path: Path) -> None:
    project = make_lab(tmp_path, 12)
    submission = submit_workers(prepare_submission(project, array=12, rounds=1))
    assert [array.size for array in submission.arrays] == [6, 6]  # the test's SLURM allows 10
    cancel_submissions(project)
    slurm.wait(60)
