"""Dask: a real cluster of processes, with a killed worker; and the job scripts of clusters."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import nwbpipe
from nwbpipe import errors
from nwbpipe.project import ExecutorSpec
from nwbpipe.project.execute._dask import DaskExecutor
from nwbpipe.project.execute._jobqueue import render_job_scripts
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
        assert not summary.ok or summary.not_started or summary.blocked
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
    text = render_job_scripts(ExecutorSpec.model_validate({"kind": kind, "kinds": kinds}))
    assert "# 3 workers of the kind standard" in text
    assert "kind-ephys=1" in text
    assert "--nthreads 1" in text
    for word in words:
        assert word in text, text
    assert "export PYTHONSAFEPATH=1" in text  # jobs start in the folder that they were submitted from


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "nonsense://here"])
def test_a_scheduler_that_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbpipe.project.execute._dask._CONNECT_S", 1)
    spec = ExecutorSpec.model_validate({"kind": "dask", "address": address})
    with pytest.raises(errors.FileAccessError, match="no Dask scheduler at that address") as caught:
        DaskExecutor(spec)
    assert address in str(caught.value)


# Somebody's own scheduler -----------------------------------------------------------------------------------

ELSEWHERE = """
[steps.first]
processor = "scale"
[steps.second]
processor = "scale"
params = { factor = 4 }
resources = { kind = "video" }
[executor]
kind = "dask"
address = "ADDRESS"
"""


class Told:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.about = ""

    def on_plan(self, states: object, about: str) -> None:
        self.about = about

    def on_start(self, state: object) -> None: ...

    def on_progress(self, state: object, fraction: float, text: str) -> None: ...

    def on_end(self, state: object, ended: object) -> None: ...


def test_a_worker_without_the_tool_and_a_scheduler_without_the_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NWBPIPE_TRUST", str(tmp_path))
    import distributed

    options = {
        "nthreads": 1, "host": "127.0.0.1", "silence_logs": 40, "resources": {"slots": 1, "kind-standard": 1},
        "env": {"NWBPIPE_TOOL_NUMPY_PYTHON": str(tmp_path / "no-python")},
    }  # fmt: skip
    workers = {0: {"cls": distributed.Nanny, "options": options}}
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
    }
    with distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=40) as cluster:
        address = cluster.scheduler_address
        project = make_project(tmp_path, 1, ELSEWHERE.replace("ADDRESS", address))
        told = Told()
        summary = project.run(reporter=told)
    assert told.about.startswith("Dask dashboard: http://127.0.0.1:")
    assert told.about.endswith(f"1 workers at {address}")
    ((_, step, text),) = summary.failed
    assert step == "first"
    assert "NWBPIPE_TOOL_NUMPY_PYTHON is not the path of a file" in text
    assert "no-python" in text
    assert "worker:   tcp://127.0.0.1:" in text
    (blocked,) = summary.blocked
    assert blocked.step == "second"
    assert blocked.reason.endswith("start one with --nthreads 1 --resources slots=1,kind-video=1")
    assert table(project)["m1/s0 first"] == "failed"


# Clouds -----------------------------------------------------------------------------------------------------

CLOUD = """
from distributed import LocalCluster

class LabCluster(LocalCluster):
    made = []

    def __init__(self, image, worker_options=None):
        self.made.append((image, worker_options))
        options = dict(worker_options)
        super().__init__(n_workers=0, threads_per_worker=options.pop("nthreads"), host="127.0.0.1",
                         dashboard_address="127.0.0.1:0", silence_logs=40, **options)

class TaskCluster(LocalCluster):
    def __init__(self, **options):
        raise ValueError(options)

class Task2Cluster(TaskCluster):
    def __init__(self, worker_extra_args=None, worker_nthreads=None, **options):
        raise ValueError(worker_extra_args, worker_nthreads)

class NotCluster:
    pass
"""


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for dask-cloudprovider on the path: its machines are processes here."""
    package = tmp_path / "site" / "dask_cloudprovider"
    (package / "aws").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "aws/lab.py").write_text(CLOUD)
    names = "LabCluster, LocalCluster, NotCluster, Task2Cluster, TaskCluster"
    (package / "aws/__init__.py").write_text(f"from dask_cloudprovider.aws.lab import {names}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for name in [name for name in sys.modules if name.startswith("dask_cloudprovider")]:
        monkeypatch.delitem(sys.modules, name)


def test_a_cloud_has_as_many_workers_as_the_work_asks_for(
    tmp_path: Path, cloud: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NWBPIPE_TRUST", str(tmp_path))
    steps = """
[steps.first]
processor = "scale"
resources = { kind = "ephys" }
[executor]
kind = "cloud"
cluster = "aws.LabCluster"
adaptive = true
[executor.kinds.ephys]
workers = 1
options = { image = "lab/nwbpipe", worker_options = { memory_limit = 0 } }
"""
    project, told = make_project(tmp_path, 1, steps), Told()
    summary = project.run(reporter=told)
    assert (summary.done, summary.failed, summary.blocked) == (1, [], [])
    assert told.about.startswith("Dask dashboard: http://127.0.0.1:")
    from dask_cloudprovider.aws import LabCluster

    resources = {"slots": 1.0, "kind-ephys": 1.0}
    assert LabCluster.made == [("lab/nwbpipe", {"memory_limit": 0, "nthreads": 1, "resources": resources})]


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ("aws.NotCluster", "has no cluster 'aws.NotCluster'\n  expected: aws.LabCluster, aws.Task2Cluster"),
        ("aws.LocalCluster", "has no cluster 'aws.LocalCluster'"),  # it is not of that package
        ("aws.MissingCluster", "has no cluster"),
        ("aws.TaskCluster", "workers can't be set"),
        ("nowhere.LabCluster", "can't be imported"),
        (None, "has no cluster"),
    ],
)
def test_only_clusters_of_dask_cloudprovider_are_started(cluster: str | None, message: str, cloud: None) -> None:
    with pytest.raises(errors.NwbpipeError) as caught:
        DaskExecutor(ExecutorSpec.model_validate({"kind": "cloud", "cluster": cluster}))
    assert message in str(caught.value)


@pytest.mark.parametrize("cluster", ["os.path.Cluster", "../aws.LabCluster", "aws.lab.LabCluster", "aws.system", ""])
def test_nothing_else_can_be_named(cluster: str) -> None:
    with pytest.raises(ValueError, match="cluster"):
        ExecutorSpec.model_validate({"kind": "cloud", "cluster": cluster})


def test_what_the_workers_of_a_cloud_are_told(cloud: None) -> None:
    spec = {"kind": "cloud", "cluster": "aws.Task2Cluster", "kinds": {"imaging": {"gpu": 1}}}
    with pytest.raises(ValueError, match=r"--resources.*slots=1,kind-imaging=1,gpu=1.*, 1\)"):
        DaskExecutor(ExecutorSpec.model_validate(spec))


def test_an_executor_without_jobs_has_no_script() -> None:
    with pytest.raises(errors.RequestError, match="does not submit jobs"):
        render_job_scripts(ExecutorSpec.model_validate({"kind": "dask"}))
