"""`memory_growth`: a run whose job was killed for its memory gets more of it the next time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nwbpipe.errors import ToolMemoryError
from nwbpipe.machine import identify_machine
from nwbpipe.processors import Resources
from nwbpipe.project import Project, prepare_submission, submit_workers
from nwbpipe.project.execute import Event, Job, JobOutcome, _run_job
from nwbpipe.project.execute._job_ends import JobEnd, count_memory_ends, record_job_end
from nwbpipe.project.execute._runner import lease_name
from tests.fixtures.projects import Inline, make_project
from tests.fixtures.schedulers import StandIns

pytestmark = pytest.mark.usefixtures("test_processors")
STEPS = """
[steps.first]
processor = "scale"
resources = { memory_gb = 2, memory_growth = 1.5 }
[executor]
kind = "slurm"
[executor.kinds.standard]
memory = "2GB"
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "lab", 1, STEPS)


def record_kill(project: Project, job: str) -> None:
    (state,) = project.pending()
    end = JobEnd(job, "NP214", f"the job {job} was killed because it used more memory than it had asked for")
    assert record_job_end(end, {"owner": job}, state, project.planner.runs, 2) == "interrupted"
    assert count_memory_ends(state, project.planner.runs) >= 1


def list_memory(stand_ins: StandIns) -> list[str]:
    return [word for call in stand_ins.calls("sbatch") for word in call if word.startswith("--mem=")]


def test_each_round_has_more_memory_than_the_one_before(project: Project, stand_ins: StandIns) -> None:
    submit_workers(prepare_submission(project))
    assert list_memory(stand_ins) == ["--mem=1908M", "--mem=2862M", "--mem=4292M", "--mem=6438M"]


def test_the_next_submission_goes_on_with_what_was_too_little(project: Project, stand_ins: StandIns) -> None:
    record_kill(project, "7")
    submit_workers(prepare_submission(project, rounds=1))
    assert list_memory(stand_ins) == ["--mem=2862M"]


def test_more_memory_than_any_node_has_is_not_asked_for_twice(project: Project, stand_ins: StandIns) -> None:
    refuse = 'for word in "$@"; do case $word in --mem=4*|--mem=6*) echo no such node >&2; exit 1;; esac; done'
    stand_ins.add("sbatch", f'cat > /dev/null; {refuse}; echo "$number"')
    submission = submit_workers(prepare_submission(project))
    assert len(submission.arrays) == 4
    assert list_memory(stand_ins) == ["--mem=1908M", "--mem=2862M", "--mem=4292M", "--mem=2862M", "--mem=2862M"]


class Keeping:
    """An executor with 2.5 GB that keeps what runs ask for."""

    about = "a test"

    def __init__(self) -> None:
        self.memory: list[float] = []
        self.events: list[Event] = []

    def explain_refusal(self, wanted: Resources) -> str:
        return "too much" if wanted.memory_gb > 2.5 else ""

    def fits(self, wanted: Resources) -> bool:
        return True

    def choose_threads(self, wanted: Resources) -> int:
        return 1

    def submit(self, job: Job, wanted: Resources) -> int:
        self.memory.append(wanted.memory_gb)
        self.events.append(Event(1, JobOutcome("failed", text="a test")))
        return 1

    def wait(self, timeout: float) -> list[Event]:
        events, self.events = self.events, []
        return events

    def close(self) -> None: ...


def test_a_worker_leaves_a_run_that_has_outgrown_it_to_another(project: Project) -> None:
    record_kill(project, "7")
    small = Keeping()
    summary = project.run(executor=small)
    assert (small.memory, summary.for_other_workers, summary.blocked, summary.failed) == ([], 1, [], [])
    big = Keeping()
    big.explain_refusal = lambda _wanted: ""  # type: ignore[method-assign]
    project.run(executor=big)
    assert big.memory == [3.0]


def leave_lease(project: Project, stand_ins: StandIns) -> None:
    """Leave the lease of a job that was killed for its memory."""
    stand_ins.add("scontrol", "echo JobState=OUT_OF_MEMORY")
    (state,) = project.pending()
    content = {
        "owner": "first", "machine": identify_machine(), "pid": 2**22, "pid_since": 0.0, "ttl_s": 60.0,
        "session": state.session, "step": state.run, "scheduler": "slurm", "job": "7",
    }  # fmt: skip
    project.planner.state.write_bytes(f"leases/{lease_name(state)}.json", json.dumps(content).encode())


def test_a_worker_that_finds_a_killed_job_s_run_too_big_leaves_it(project: Project, stand_ins: StandIns) -> None:
    leave_lease(project, stand_ins)
    small = Keeping()
    summary = project.run(executor=small)
    assert (small.memory, summary.for_other_workers, summary.failed) == ([], 1, [])
    assert [run.outcome for run in project.runs()] == ["interrupted"]
    assert list(project.planner.state.list("leases")) == []


def test_a_killed_job_s_run_gets_more_memory_from_who_finds_it(project: Project, stand_ins: StandIns) -> None:
    leave_lease(project, stand_ins)
    big = Keeping()
    big.explain_refusal = lambda _wanted: ""  # type: ignore[method-assign]
    project.run(executor=big)
    assert big.memory == [3.0]


class Limited(Inline):
    """An executor that computes here, as far as it has the memory."""

    def __init__(self, memory_gb: float) -> None:
        super().__init__()
        self.limit, self.memory = memory_gb, list[float]()

    def explain_refusal(self, wanted: Resources) -> str:
        return "too much" if wanted.memory_gb > self.limit else ""

    def submit(self, job: Job, wanted: Resources) -> int:
        self.memory.append(wanted.memory_gb)
        return super().submit(job, wanted)


def test_a_tool_that_ran_out_of_memory_in_a_living_job_gets_more(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM's control groups kill the tool, as a rule, and leave the worker that started it."""

    def run_out(*_: object, **_options: object) -> None:
        msg = "scale ran out of memory"
        raise ToolMemoryError(msg)

    monkeypatch.setattr(_run_job, "process", run_out)
    small, big = Limited(2.5), Limited(100)
    summary = project.run(executor=small)
    assert (small.memory, summary.for_other_workers, summary.failed) == ([2.0], 1, [])
    summary = project.run(executor=big)
    assert big.memory == [3.0, 4.5]
    ((_, _, text),) = summary.failed  # after `retries` of them
    assert "ran out of memory" in text
    assert project.run(executor=Limited(100)).failed == []  # it waits for --retry-failed
