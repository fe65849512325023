"""Workers of Dask that are lost, refused or don't come: what is sent again, what counts, and what is told."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nwbpipe.errors import WorkError
from nwbpipe.processors import Resources
from nwbpipe.project import Project
from nwbpipe.project.execute import Event, Job, JobOutcome
from nwbpipe.project.execute._dask import DaskExecutor
from nwbpipe.project.execute._jobqueue import JobWorkers
from tests.fixtures.projects import make_project, table
from tests.fixtures.schedulers import StandIns

pytest.importorskip("distributed")
JOB = Job(*("x",) * 10)
PLACE = {"scheduler": "slurm", "job": "17"}


class Client:
    """A Dask client whose futures end as a test says."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def submit(self, *_: object, key: str, **options: object) -> SimpleNamespace:
        self.keys.append(key)
        return SimpleNamespace(add_done_callback=lambda _done: None, cancel=lambda: None)


@pytest.fixture
def executor() -> tuple[DaskExecutor, Client]:
    executor, client = object.__new__(DaskExecutor), Client()
    executor._happened, executor._sent, executor._workers = queue.SimpleQueue(), {}, {}
    executor._clients, executor._tokens, executor._topic, executor._closed = {"": client}, 0, "topic", False
    return executor, client


def test_a_job_that_only_waited_at_a_lost_worker_is_sent_again(executor: tuple[DaskExecutor, Client]) -> None:
    dask, client = executor
    token = dask.submit(JOB, Resources())
    for number in range(2, 5):
        dask._happened.put(Event(token, lost=True))
        assert dask.wait(0) == []
        assert len(set(client.keys)) == number  # Dask takes a key once
    dask._note_begin((0.0, {"token": token, **PLACE}))
    assert dask.wait(0) == [Event(token, begun=True)]
    dask._happened.put(Event(token, lost=True))
    assert dask.wait(0) == [Event(token, lost=True, job=PLACE)]
    assert len(client.keys) == 4


def test_a_worker_that_dies_before_each_job_ends_the_waiting(executor: tuple[DaskExecutor, Client]) -> None:
    dask, _ = executor
    token = dask.submit(JOB, Resources())
    for _ in range(20):
        dask._happened.put(Event(token, lost=True))
        assert dask.wait(0) == []
    dask._happened.put(Event(token, lost=True))
    assert dask.wait(0) == [Event(token, lost=True)]


def test_nothing_is_sent_again_after_the_end(executor: tuple[DaskExecutor, Client]) -> None:
    dask, client = executor
    token = dask.submit(JOB, Resources())
    dask._closed = True
    dask._happened.put(Event(token, lost=True))
    assert [event.lost for event in dask.wait(0)] == [True]
    assert len(client.keys) == 1


class Losing:
    """An executor that loses each run in a job of SLURM, and ends the others."""

    about = "a test"

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.lost = 0

    def explain_refusal(self, wanted: Resources) -> str:
        return ""

    def fits(self, wanted: Resources) -> bool:
        return not self.tokens

    def choose_threads(self, wanted: Resources) -> int:
        return 1

    def submit(self, job: Job, wanted: Resources) -> int:
        self.lost += 1
        self.tokens.append(self.lost)
        return self.lost

    def wait(self, timeout: float) -> list[Event]:
        events = [Event(token, lost=True, job={"scheduler": "slurm", "job": str(token)}) for token in self.tokens]
        self.tokens = []
        return events

    def close(self) -> None: ...


@pytest.mark.usefixtures("test_processors")
def test_memory_and_time_limits_are_told_apart(tmp_path: Path, stand_ins: StandIns) -> None:
    """Each end of a job is recorded; after the retries the run has failed, with what to raise."""
    first = 'if [ -e "$calls/seen" ]; then echo JobState=TIMEOUT; else touch "$calls/seen"; echo JobState=RUNNING; fi'
    stand_ins.add("scontrol", first)
    project = make_project(tmp_path / "lab", 1, '[steps.first]\nprocessor = "scale"\n[executor]\nretries = 1\n')
    project.planner.state.write_bytes("logs/dask/nwbpipe-standard-2.log", b"begun\nits last words\n")
    executor = Losing()
    summary = project.run(executor=executor)
    assert executor.lost == 2
    ((_, _, text),) = summary.failed
    assert "the job 2 was ended by the scheduler at its time limit" in text
    assert "its last words" in text
    assert table(project) == {"m1/s0 first": "failed"}
    assert sorted(run.outcome for run in project.runs()) == ["failed", "interrupted"]  # both of one second
    assert {run.error["code"] for run in project.runs() if run.error} == {"NP215"}


class Waiting(Losing):
    """An executor whose first job waits, and begins at the second look."""

    tells_begin = True

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self.look = look

    def wait(self, timeout: float) -> list[Event]:
        self.look()
        self.lost += 1
        if self.lost == 2:
            return [Event(1, begun=True)]
        return [Event(1, JobOutcome("failed", text="a test"))] if self.lost > 3 else []


@pytest.mark.usefixtures("test_processors")
def test_a_run_that_waits_for_a_worker_is_told_from_one_that_runs(tmp_path: Path) -> None:
    project = make_project(tmp_path / "lab", 1, '[steps.first]\nprocessor = "scale"\n')
    seen: list[tuple[str, str]] = []

    def look() -> None:
        (state,) = Project(project.spec.path).state("m1/s0", "first")
        seen.append((state.state, state.reason))

    project.run(executor=Waiting(look))
    assert seen[:3] == [("running", "waits for a worker"), ("running", ""), ("running", "")]


@pytest.fixture
def workers() -> Callable[..., JobWorkers]:
    """Make workers in jobs whose cluster is made up."""

    def make(*refusals: str, jobs: dict[str, str | None] | None = None) -> JobWorkers:
        made = object.__new__(JobWorkers)
        made._scheduler, made._kind, made._refusals = "slurm", "ephys", queue.SimpleQueue()
        made._looked, made._told, made._away_since, made._failed_starts = -1e9, -1e9, None, 0
        entries: dict[str, Any] = {
            name: SimpleNamespace(job_id=job, status=None) for name, job in (jobs or {}).items()
        }
        made.cluster = SimpleNamespace(
            workers=entries, worker_spec=dict.fromkeys(entries), scheduler_info={"workers": {}},
            scheduler_address="tls://10.0.0.1:8786", loop=SimpleNamespace(add_callback=lambda callback: callback()),
        )  # fmt: skip
        for refusal in refusals:
            made._refusals.put(f"Command exited\nstderr:\n{refusal}\n")
        return made

    return make


def test_a_refusal_is_told_in_the_scheduler_s_words(workers: Callable[..., JobWorkers]) -> None:
    with pytest.raises(WorkError, match="sbatch: error: Invalid account") as caught:
        workers("sbatch: error: Invalid account").look()
    assert "[executor.kinds.ephys]" in str(caught.value)


def test_a_scheduler_that_is_away_is_asked_again(workers: Callable[..., JobWorkers]) -> None:
    away = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    made = workers(away, away, jobs={"a": None, "b": "3"})
    assert made.look().startswith("slurm does not answer; it is asked again")
    assert list(made.cluster.worker_spec) == ["b"]  # another one is started in the place of a
    made._away_since = -1e9
    made._refusals.put(f"stderr:\n{away}")
    with pytest.raises(WorkError, match="Unable to contact"):
        made.look()


def test_jobs_that_end_before_their_worker_comes(workers: Callable[..., JobWorkers], stand_ins: StandIns) -> None:
    """They are replaced; three in a row are an error, not a wait for ever."""
    stand_ins.add("squeue", "echo '4 PENDING (Resources)'")
    made = workers(jobs={"a": "3", "b": "4"})
    assert made.look() == "no worker of the kind ephys runs yet: job 4: PENDING (Resources)"
    assert list(made.cluster.workers) == ["b"]
    made.cluster.workers |= {name: SimpleNamespace(job_id=job, status=None) for name, job in (("c", "5"), ("d", "6"))}
    made._looked = -1e9
    with pytest.raises(WorkError, match="end before their workers reach this program") as caught:
        made.look()
    assert "tls://10.0.0.1:8786" in str(caught.value)
