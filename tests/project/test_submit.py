"""`nwbpipe submit`: what the scheduler's commands get, and what happens when they refuse."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nwbpipe.errors import RequestError, ToolMissingError, UntrustedError, WorkError
from nwbpipe.machine import trust, withdraw_trust
from nwbpipe.project import (
    ExecutorSpec,
    Project,
    cancel_submissions,
    list_queued,
    prepare_submission,
    submit_workers,
)
from nwbpipe.project.execute._worker_fit import parse_memory
from nwbpipe.project.plan import StepState
from nwbpipe.project.submit import _submission, list_submissions
from nwbpipe.project.submit._schedulers import SCHEDULERS, JobArray, clean_name, split_array
from nwbpipe.project.submit._workers import WorkerArray, plan_workers
from tests.fixtures.projects import HEAD, STEPS, make_project
from tests.fixtures.schedulers import ACCEPT, StandIns

KINDS = """
[executor]
kind = "slurm"
[executor.kinds.standard]
workers = 3
memory = "2GiB"
[executor.kinds.ephys]
workers = 2
cores = 8
gpu = 1
memory = "16GB"
walltime = "10:00:00"
queue = "gpu"
[executor.kinds.ephys.options]
account = "lab"
job_extra_directives = ["--qos=long", "-C 'a&b'"]
job_script_prologue = ["module load cuda"]
"""
EPHYS = STEPS + 'resources = { kind = "ephys", cpu = 8, gpu = 1, time_limit_s = 3600 }\n'

pytestmark = pytest.mark.usefixtures("test_processors", "stand_ins")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose steps have no processor that could run: it is only planned."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.fixtures.projects.Project", lambda _: None)
        make_project(folder, 4, "")
    return folder


def project_of(template: Path, folder: Path, steps: str) -> Project:
    shutil.copytree(template / "nwb", folder / "nwb")
    (folder / "nwbpipe.toml").write_text(HEAD + steps)
    trust(folder / "nwbpipe.toml")
    return Project(folder)


def test_arrays_of_each_kind_follow_on_each_other(template: Path, tmp_path: Path, stand_ins: StandIns) -> None:
    project = project_of(template, tmp_path / "lab", EPHYS + KINDS)
    submission = submit_workers(prepare_submission(project))
    calls = stand_ins.calls("sbatch")
    logs = tmp_path / "lab" / "state" / "logs" / "submit" / submission.id
    assert calls[0][1:] == [
        "--parsable", "--job-name=nwbpipe-lab-standard", "--array=1-3", "--nodes=1", "--ntasks=1",
        "--cpus-per-task=1", "--mem=2048M", "--signal=B:TERM@120", "--open-mode=append", f"--chdir={logs}",
        "--output=nwbpipe-lab-standard-%A_%a.log",
    ]  # fmt: skip
    assert {
        "--job-name=nwbpipe-lab-ephys", "--array=1-2", "--cpus-per-task=8", "--gres=gpu:1", "--time=600",
        "--partition=gpu", "--account=lab", "--qos=long", "-C", "a&b", "--mem=15259M",
    } <= set(calls[1])  # fmt: skip
    # One round for the first kind, one for the second, which waits for it, and a spare.
    assert [array.round for array in submission.arrays] == [1, 1, 2, 2, 3, 3]
    dependencies = [[word for word in call if "dependency" in word] for call in calls]
    second, third = "--dependency=afterany:2:3", "--dependency=afterany:4:5"  # scontrol was the first call
    assert dependencies == [[], [], [second], [second], [third], [third]]
    assert logs.is_dir()
    assert list_submissions(project.planner.state) == [submission]
    standard, ephys = stand_ins.scripts()[:2]
    assert "--kind=standard --idle" in standard
    assert "--kind=ephys --idle" in ephys  # a worker with a GPU leaves standard runs to others
    assert "\nmodule load cuda\n" in ephys
    # Again while those wait: more workers for the same runs, each of which is computed once.
    submit_workers(prepare_submission(project, array=1, rounds=1))
    assert len(list_submissions(project.planner.state)) == 2
    assert cancel_submissions(project)[0].id == submission.id
    assert stand_ins.calls("scancel")[0] == ["scancel", "7", "6", "5", "4", "3", "2"]
    assert cancel_submissions(project) == []


def test_no_name_becomes_shell(
    template: Path, tmp_path: Path, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "$(touch made) `touch made`; touch made #'\"*"
    folder = tmp_path / hostile
    folder.mkdir()
    python = folder / "python"
    python.write_text('#!/bin/sh\nfor word in "$@"; do printf \'%s\\0\' "$word"; done > "$ARGUMENTS"\n')
    python.chmod(0o755)
    project = project_of(template, folder / "lab", STEPS)
    text = project.spec.path.read_text().replace('"lab"', f"'''{hostile}\n--partition=x'''")
    project.spec.path.write_text(text)
    monkeypatch.setattr(sys, "executable", str(python))
    where = f"subject_id = 'm1' or sex = '{hostile.replace(chr(39), '')}'"
    prepared = prepare_submission(Project(folder / "lab"), ["m1/*"], where)
    submit_workers(prepared)
    words = stand_ins.calls("sbatch")[0]
    assert re.fullmatch(r"--job-name=nwbpipe-touch_made[A-Za-z0-9._-]{,60}", words[2])
    assert not any(word.startswith("--partition") for word in words)
    script, work = tmp_path / "job.sh", tmp_path / "work"
    script.write_text(stand_ins.scripts()[0])
    work.mkdir()
    arguments = tmp_path / "arguments"
    subprocess.run(["sh", script], check=True, cwd=work, env={"ARGUMENTS": str(arguments), "PATH": "/usr/bin:/bin"})
    given = arguments.read_text().split("\0")[:-1]
    assert f"--project={folder / 'lab' / 'nwbpipe.toml'}" in given
    assert f"--where={where}" in given
    assert "--session=m1/*" in given
    assert list(work.iterdir()) == []
    assert not list(tmp_path.rglob("made"))


def test_a_refused_array_takes_the_others_back(template: Path, tmp_path: Path, stand_ins: StandIns) -> None:
    stand_ins.add(
        "sbatch", f'case "$*" in *--partition=gpu*) echo "sbatch: error: no such thing" >&2; exit 1;; esac\n{ACCEPT}'
    )
    project = project_of(template, tmp_path / "lab", EPHYS + KINDS)
    with pytest.raises(WorkError, match="refused the jobs of the kind 'ephys'") as caught:
        submit_workers(prepare_submission(project))
    assert caught.value.problem.found == "sbatch: error: no such thing"
    assert stand_ins.calls("scancel") == [["scancel", "2"]]
    assert [submission.cancelled for submission in list_submissions(project.planner.state)] == [True]
    assert list_queued(project) == []


def test_what_could_not_be_taken_back_can_be_cancelled_later(
    template: Path, tmp_path: Path, stand_ins: StandIns
) -> None:
    stand_ins.add("sbatch", f'case "$*" in *--partition=gpu*) exit 1;; esac\n{ACCEPT}')
    stand_ins.add("scancel", "echo 'Unable to contact slurm controller' >&2; exit 1")
    project = project_of(template, tmp_path / "lab", EPHYS + KINDS)
    with pytest.raises(WorkError, match="refused"):
        submit_workers(prepare_submission(project))
    stand_ins.add("scancel", "exit 0")
    (cancelled,) = cancel_submissions(project)
    assert stand_ins.calls("scancel")[-1] == ["scancel", cancelled.arrays[0].job]


def test_a_project_that_is_not_trusted_submits_no_shell(template: Path, tmp_path: Path, stand_ins: StandIns) -> None:
    project = project_of(template, tmp_path / "lab", EPHYS + KINDS)
    withdraw_trust(project.spec.path)
    with pytest.raises(UntrustedError):
        submit_workers(prepare_submission(project))
    assert stand_ins.calls("sbatch") == []


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("sleep 30", WorkError, "did not answer"),
        ("exit 0", WorkError, "no word"),
        ("echo Hello", WorkError, "Hello"),
        (None, ToolMissingError, "sbatch is not on PATH"),
    ],
)
def test_an_sbatch_that_does_not_work_is_told(
    body: str | None, error: type[Exception], message: str, template: Path, tmp_path: Path, stand_ins: StandIns,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    project = project_of(template, tmp_path / "lab", STEPS + '[executor]\nkind = "slurm"\n')
    prepared = prepare_submission(project)
    if body is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        stand_ins.add("sbatch", body)
    monkeypatch.setattr(_submission, "SUBMIT_TIMEOUT_S", 0.3)
    with pytest.raises(error) as caught:
        submit_workers(prepared)
    assert message in str(caught.value)


def test_an_array_larger_than_the_site_allows_is_split(template: Path, tmp_path: Path, stand_ins: StandIns) -> None:
    stand_ins.add("scontrol", "echo 'MaxArraySize            = 4'")
    project = project_of(template, tmp_path / "lab", STEPS)
    submission = submit_workers(prepare_submission(project, array=100, rounds=1))
    assert [array.size for array in submission.arrays] == [3, 3, 2]  # 8 runs: there are no more workers than runs
    assert split_array(7, 1000) == [7]


def states(*steps: str) -> list[StepState]:
    return [StepState("m1/s0", step, step, "missing") for step in steps]


def test_a_step_that_fits_no_kind_is_refused_with_both_names(template: Path, tmp_path: Path) -> None:
    kinds = KINDS.replace("cores = 8", "cores = 4")
    project = project_of(template, tmp_path / "lab", EPHYS + kinds)
    with pytest.raises(RequestError) as caught:
        prepare_submission(project)
    text = str(caught.value)
    assert "the step 'second' fits no kind of worker" in text
    assert "[executor.kinds.ephys] has cpu = 4, the step needs 8" in text


def test_workers_fit_the_steps(template: Path, tmp_path: Path) -> None:
    steps = project_of(template, tmp_path / "lab", EPHYS).spec.steps
    (first, second) = plan_workers(ExecutorSpec(), steps, states("first", "first", "first", "second"))
    assert (first.kind, first.workers, first.cores, first.memory_bytes) == ("standard", 2, 1, 4 * 10**9)
    assert (second.kind, second.workers, second.cores, second.gpu) == ("ephys", 1, 8, 1)
    assert second.walltime_s == 3600 + 600
    spec = ExecutorSpec.model_validate({"kinds": {"ephys": {"cores": 8, "gpu": 1, "walltime": "1:00:00"}}})
    with pytest.raises(RequestError, match="fit no kind") as caught:  # it could not end in time
        plan_workers(spec, steps, states("second"))
    assert "walltime = 3600 s, the step needs 3600 s" in str(caught.value)
    (array,) = plan_workers(spec, steps, states("first"))  # standard runs can use any kind
    assert array.takes == ("ephys", "standard")
    for kind, message in (
        ({"walltime": "10-hours"}, "not a duration"),
        ({"options": {"job_extra_directives": ["--comment='a"]}}, "directive"),
    ):
        spec = ExecutorSpec.model_validate({"kinds": {"standard": kind}})
        with pytest.raises(RequestError, match=message):
            plan_workers(spec, steps, states("first"))


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 8 * 10**9), ("1.5 GiB", 3 * 2**29), ("512M", 512 * 10**6), ("100", 100), ("2kib", 2048)],
)
def test_memory_is_read(text: str, size: int) -> None:
    assert parse_memory(text) == size


def test_memory_that_is_none_is_refused() -> None:
    with pytest.raises(RequestError, match="memory"):
        parse_memory("8 potatoes")


@pytest.mark.parametrize(
    ("name", "printed", "job", "words"),
    [
        ("slurm", "12;cluster", "12", ["--array=1-3", "--dependency=afterany:1:2", "--time=90"]),
        ("pbs", "12[].server", "12[].server", ["1-3", "depend=afterany:1:2", "walltime=1:30:00"]),
        ("sge", "12.1-3:1", "12", ["1-3", "1,2", "h_rt=5400"]),
        ("lsf", "Job <12> is submitted", "12", ["a[1-3]", "ended(1) && ended(2)", "1:30"]),
    ],
)
def test_each_scheduler_has_its_words(name: str, printed: str, job: str, words: list[str], tmp_path: Path) -> None:
    scheduler = SCHEDULERS[name]
    worker = WorkerArray("ephys", ("ephys",), 3, cores=2, gpu=1, walltime_s=5400, queue="q", account="lab")
    command = scheduler.write_command(JobArray(worker, 3, "a", tmp_path, ("1", "2")))
    assert command[0] == scheduler.command
    assert set(words) <= set(command)
    assert {"q", "lab"} <= {word.rpartition("=")[2] for word in command}
    match = re.search(scheduler.id_pattern, printed, re.MULTILINE)
    assert match is not None
    assert match[1] == job


def test_names_of_jobs_are_plain() -> None:
    assert clean_name("nwbpipe", "Léa's lab; rm -rf /", "ephys") == "nwbpipe-L_a_s_lab_rm_-rf-ephys"
    assert clean_name("nwbpipe", "漢字", "video") == "nwbpipe-video"


def test_status_tells_what_waits_and_what_runs(template: Path, tmp_path: Path, stand_ins: StandIns) -> None:
    project = project_of(template, tmp_path / "lab", STEPS)
    assert list_queued(project) == []
    assert stand_ins.calls("squeue") == []  # without a submission nothing is asked
    submission = submit_workers(prepare_submission(project))
    job = submission.arrays[0].job
    (queued,) = list_queued(project)
    assert "squeue does not answer" in queued.problem
    lines = [
        f"{job}_[2]|n|PENDING|Resources||2026-01-01T00:00:00",
        f"{job}_1|n|RUNNING|None|node7|2026-01-01T10:00:00",
    ]
    stand_ins.add("squeue", "\n".join(f"echo '{line}'" for line in [*lines, lines[1].replace(f"{job}_", "999_")]))
    (queued,) = list_queued(project)
    found = [(state.job, state.state, state.reason, state.node, state.since) for state in queued.jobs]
    assert found == [
        (f"{job}_1", "running", "", "node7", "2026-01-01T10:00:00"),
        (f"{job}_[2]", "pending", "Resources", "", ""),
    ]
    assert stand_ins.calls("squeue")[-1][2] == "--name=nwbpipe-lab-standard"
    assert cancel_submissions(project) == [submission]
    stand_ins.add("squeue", "exit 0")
    submit_workers(prepare_submission(project))
    assert cancel_submissions(project) == []  # its jobs have ended


def test_a_record_that_someone_else_wrote_reaches_no_command(
    template: Path, tmp_path: Path, stand_ins: StandIns
) -> None:
    project = project_of(template, tmp_path / "lab", STEPS)
    submit_workers(prepare_submission(project, rounds=1))
    (record,) = (tmp_path / "lab" / "state" / "submissions").glob("*.json")
    record.write_text(record.read_text().replace('"job": "2"', '"job": "--user=root"'))
    assert list_submissions(project.planner.state) == []
    assert cancel_submissions(project) == []
    assert stand_ins.calls("scancel") == []
