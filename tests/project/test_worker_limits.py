"""A worker knows the limits of its job, and tells how the job before it ended."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from nwbpipe import stores
from nwbpipe.errors import UnknownNameError
from nwbpipe.machine import identify_machine
from nwbpipe.processors import Resources
from nwbpipe.project import ExecutorSpec
from nwbpipe.project.execute._devices import _lock_folder
from nwbpipe.project.execute._job_ends import explain_job_end, record_job_end
from nwbpipe.project.execute._limits import WorkerLimits, identify_job, parse_duration, read_worker_limits
from nwbpipe.project.execute._local import LocalExecutor
from nwbpipe.project.execute._runner import lease_name
from nwbpipe.project.state import Leases
from tests.fixtures.projects import STEPS, Inline, make_project
from tests.fixtures.schedulers import StandIns

JOB = {"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}


def test_the_scheduler_s_variables_are_limits(tmp_path: Path, stand_ins: StandIns) -> None:
    variables = {**JOB, "SLURM_CPUS_PER_TASK": "2", "SLURM_MEM_PER_CPU": "1000"}
    limits = read_worker_limits(variables, root=tmp_path)
    assert (limits.cores, limits.memory_gb, limits.ends) == (2, 2000 * 2**20 / 1e9, None)
    assert (
        read_worker_limits({**variables, "SLURM_MEM_PER_NODE": "500"}, root=tmp_path).memory_gb == 500 * 2**20 / 1e9
    )
    tasks = {**JOB, "SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_CPU": "1000"}  # of `salloc --ntasks=8`
    assert read_worker_limits(tasks, root=tmp_path).memory_gb == 8000 * 2**20 / 1e9
    assert read_worker_limits({"NCPUS": "3"}, root=tmp_path) == WorkerLimits()  # not in a job
    assert identify_job(variables) == {"scheduler": "slurm", "job": "12_3"}
    assert identify_job({}) == {}


@pytest.mark.parametrize("version", [1, 2])
def test_control_groups_are_limits(version: int, tmp_path: Path) -> None:
    names = ("memory", "cpu,cpuacct") if version == 1 else ("", "")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(
        "4:memory:/job/step\n3:cpu,cpuacct:/job/step\n2:freezer:/\n" if version == 1 else "0::/job/step\n"
    )
    folders = [tmp_path / "sys/fs/cgroup" / name / "job" for name in names]
    for folder in folders:
        (folder / "step").mkdir(parents=True, exist_ok=True)
    if version == 1:
        (folders[0] / "memory.limit_in_bytes").write_text("2000000000\n")
        (folders[0] / "step" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
        (folders[1] / "step" / "cpu.cfs_quota_us").write_text("150000\n")
        (folders[1] / "step" / "cpu.cfs_period_us").write_text("100000\n")
    else:
        (folders[0] / "memory.max").write_text("2000000000\n")
        (folders[0] / "step" / "memory.max").write_text("max\n")
        (folders[0] / "step" / "cpu.max").write_text("150000 100000\n")
    assert read_worker_limits({}, root=tmp_path) == WorkerLimits(cores=2, memory_gb=2.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("1:30", 90),
        ("2:00:00", 7200),
        ("1-0", 86400),
        ("1-02:03:04", 93784),
        ("UNLIMITED", None),
        ("", None),
    ],
)
def test_durations_are_read(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


def test_two_parts_are_hours_where_a_scheduler_says_so() -> None:
    assert parse_duration("1:30", hours_first=True) == 5400


def test_a_run_that_can_t_end_in_time_is_left(stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**JOB, "SLURM_CPUS_PER_TASK": "1", "SLURM_MEM_PER_NODE": "1000"}.items():
        monkeypatch.setenv(name, value)
    stand_ins.add("squeue", 'echo 10:00; case "$*" in *--jobs=12_3*) ;; *) echo 9:00;; esac')  # all tasks of an array
    executor = LocalExecutor(ExecutorSpec(workers=1, memory_gb=64.0))
    assert stand_ins.calls("squeue") == [["squeue", "--noheader", "--jobs=12_3", "--format=%L"]]
    assert executor.explain_refusal(Resources(time_limit_s=300)) == ""
    assert "this job ends in 4" in executor.explain_refusal(
        Resources(time_limit_s=590)
    )  # it is stopped before its end
    assert "cpu = 2, but there is 1" in executor.explain_refusal(Resources(cpu=2))
    assert "memory_gb = 2, but there is 1.04858" in executor.explain_refusal(Resources(memory_gb=2))
    assert not executor.is_out_of_time
    executor._limits = WorkerLimits(ends=time.monotonic() - 1)
    assert executor.is_out_of_time


def test_jobs_on_one_machine_have_their_own_gpus(monkeypatch: pytest.MonkeyPatch, own_places: Path) -> None:
    outside = _lock_folder()
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    assert _lock_folder() != outside


def test_runs_for_other_kinds_of_workers_are_left(tmp_path: Path, test_processors: None) -> None:
    project = make_project(tmp_path, 1)
    summary = project.run(executor=Inline(), kinds=["ephys"])
    assert (summary.done, summary.for_other_workers, summary.failed) == (0, 1, [])
    with pytest.raises(UnknownNameError, match="rocket"):
        project.run(executor=Inline(), kinds=["rocket"])


def test_a_worker_without_work_ends(tmp_path: Path, test_processors: None) -> None:
    project = make_project(tmp_path, 1)
    (state,) = project.state("m1/s0", "first")
    leases = Leases(project.planner.state)
    assert leases.take(lease_name(state), session=state.session, step=state.run)
    began = time.monotonic()
    assert project.run(executor=Inline(), idle_s=0.2).done == 0
    assert time.monotonic() - began < 60
    leases.close()


@pytest.mark.parametrize(
    ("ending", "log", "code", "words"),
    [
        ("JobState=TIMEOUT Reason=TimeLimit", "", "NP215", "time limit"),
        ("JobState=FAILED", "slurmstepd: error: Exceeded job memory limit", "NP214", "more memory"),
        ("JobState=FAILED", "60 %\rslurmstepd-n7: error: Detected 1 oom_kill event", "NP214", "more memory"),
    ],
)
def test_the_next_worker_tells_how_a_job_ended(
    ending: str, log: str, code: str, words: str, tmp_path: Path, stand_ins: StandIns, test_processors: None
) -> None:
    project = make_project(tmp_path, 1, STEPS + "[executor]\nretries = 1\n")
    stand_ins.add("scontrol", f"echo 'JobId=14 {ending} StdOut=x'")
    store = project.planner.state
    store.write_bytes("logs/submit/1/nwbpipe-lab-standard-12_3.log", f"begun\n{log}\n".encode())
    (state,) = project.state("m1/s0", "first")
    content = {
        "owner": "first", "machine": identify_machine(), "pid": 2**22, "pid_since": 0.0, "ttl_s": 60.0,
        "session": state.session, "step": state.run, "scheduler": "slurm", "job": "12_3",
    }  # fmt: skip
    end = explain_job_end(content, store)
    assert end is not None
    assert end.code == code
    assert record_job_end(end, content, state, project.planner.runs, 1) == "interrupted"
    (state,) = project.state("m1/s0", "first")
    assert state.state == "missing"  # it is begun again
    store.write_bytes(f"leases/{lease_name(state)}.json", json.dumps({**content, "owner": "second"}).encode())
    summary = project.run(executor=Inline(), steps=["first"])
    ((session, step, text),) = summary.failed
    assert (session, step, summary.done) == ("m1/s0", "first", 0)
    assert words in text
    assert "the job 12_3" in text
    (state,) = project.state("m1/s0", "first")
    assert state.state == "failed"
    assert state.log == "logs/submit/1/nwbpipe-lab-standard-12_3.log"
    assert list((tmp_path / "state" / "leases").glob("*.json")) == []


@pytest.mark.parametrize("ending", ["CANCELLED", "NODE_FAIL", "RUNNING"])
def test_other_ends_are_not_counted(ending: str, tmp_path: Path, stand_ins: StandIns) -> None:
    stand_ins.add("sacct", f"echo '{ending} by 0'")
    store = stores.open_store(tmp_path / "state")
    store.write_bytes("logs/submit/1/n-12_3.log", b"m1/s0 failed: CUDA out of memory\nm1/s1 begun\n")  # of a tool
    assert explain_job_end({"scheduler": "slurm", "job": "12_3"}, store) is None
    assert stand_ins.calls("sacct") != []
    stand_ins.add("sacct", "echo OUT_OF_MEMORY")
    end = explain_job_end({"scheduler": "slurm", "job": "12_3"}, store)
    assert end is not None
    assert end.code == "NP214"
    assert explain_job_end({"scheduler": "slurm", "job": "12_3; touch x"}, store) is None
    assert explain_job_end({}, store) is None
