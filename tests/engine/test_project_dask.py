"""Dask: a real cluster of processes, with a killed worker; and the job scripts of clusters."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest

import nwbpipe
from nwbpipe import errors
from nwbpipe.engine.execute._dask import DaskExecutor, job_scripts
from nwbpipe.project import ExecutorSpec
from tests.fixtures.projects import make_project, table

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.usefixtures("test_processors"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

STEPS = """
[steps.first]
processor = "count"
params = { label = "first", seconds = 0.3 }
resources = { kind = "ephys" }
[steps.second]
processor = "count"
params = { label = "second", add = 2 }
inputs.series = "first/Counted"
[executor]
kind = "dask"
retries = 5
[executor.kinds.standard]
[executor.kinds.ephys]
"""


@pytest.mark.long
def test_a_cluster_of_two_kinds_of_workers_one_of_which_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTS_COUNTER", str(tmp_path / "counter"))
    project = make_project(tmp_path, 1, STEPS)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    killed: list[int] = []

    def kill() -> None:
        """Kill the Dask worker under a tool, and its nanny."""
        while not killed and not over.is_set():
            for child in psutil.Process().children(recursive=True):
                try:
                    if "environments/_worker.py" in " ".join(child.cmdline()):
                        for victim in (child.parent().parent(), child.parent()):
                            if victim is not None and victim.pid != psutil.Process().pid and not killed:
                                killed.append(victim.pid)
                                victim.kill()
                        break
                except (psutil.Error, AttributeError):
                    continue
            time.sleep(0.05)

    over = threading.Event()
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        summary = project.run()
    finally:
        over.set()
        thread.join()
    assert killed
    if set(table(project).values()) != {"done"}:  # the only worker of its kind is gone: the next call goes on
        assert not summary.ok or summary.left or summary.blocked
        project.run()
    assert set(table(project).values()) == {"done"}
    assert len(nwbpipe.read_records(tmp_path / "nwb/s0.nwb")) == 2
    end = time.monotonic() + 20
    while left := [
        child for child in psutil.Process().children(recursive=True)
        if child.pid not in before and "resource_tracker" not in " ".join(child.cmdline())
    ]:  # fmt: skip
        assert time.monotonic() < end, [child.cmdline() for child in left]
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("slurm", ["#SBATCH -t 10:00:00", "#SBATCH -p fast", "#SBATCH --cpus-per-task=8", "--gres=gpu:1", "gpu=1"]),
        ("pbs", ["#PBS -l walltime=10:00:00", "#PBS -q fast"]),
        ("sge", ["#$ -q fast"]),
        ("lsf", ["#BSUB -q fast"]),
    ],
)
def test_job_scripts(kind: str, words: list[str]) -> None:
    kinds = {
        "standard": {"workers": 3},
        "ephys": {"cores": 8, "memory": "32GB", "gpu": 1, "walltime": "10:00:00", "queue": "fast"},
    }
    if kind == "lsf":
        kinds["ephys"]["walltime"] = "10:00"
    text = job_scripts(ExecutorSpec.model_validate({"kind": kind, "kinds": kinds}))
    assert "# 3 workers of the kind standard" in text
    assert "kind-ephys=1" in text
    assert "--nthreads 1" in text
    for word in words:
        assert word in text, text


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbpipe.engine.execute._dask._CONNECT_S", 1)
    spec = ExecutorSpec.model_validate({"kind": "dask", "address": "tcp://127.0.0.1:9"})
    with pytest.raises(errors.FileAccessError, match="no Dask scheduler at that address"):
        DaskExecutor(spec)


def test_an_executor_without_jobs_has_no_script() -> None:
    with pytest.raises(errors.RequestError, match="submits no jobs"):
        job_scripts(ExecutorSpec.model_validate({"kind": "dask"}))
