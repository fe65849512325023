"""Run one job of a project, in a worker of any executor."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from nwbpipe.environments import limit_memory, use_settings
from nwbpipe.errors import (
    ConflictError,
    FileAccessError,
    LockedFileError,
    NwbpipeError,
    ToolError,
    ToolKilledError,
    ToolMemoryError,
)
from nwbpipe.processors import ProjectProcessor
from nwbpipe.project._convert_session import convert_session
from nwbpipe.project._load import load_project
from nwbpipe.project._sessions import Session
from nwbpipe.project.execute._devices import reserve_gpus
from nwbpipe.project.execute._job_ends import count_memory_ends
from nwbpipe.project.execute._limits import identify_job
from nwbpipe.project.plan._planner import Planner
from nwbpipe.project.plan._state import CONVERT
from nwbpipe.project.plan._tools import explain_staleness
from nwbpipe.project.state import Leases, RunObject
from nwbpipe.provenance import RunRecord, format_now, read_host_label
from nwbpipe.run import MODELS, PROJECT, SessionInputs, make_artefact, process
from nwbpipe.session import SessionFile
from nwbpipe.stores import is_remote, scratch_folder

LOCK_TIMEOUT = 600.0  # seconds: commits to one file queue
Ending = Literal["done", "failed", "interrupted", "held"]


@dataclass(frozen=True)
class Job:
    """A run for a worker, as plain values that can be sent to any process.

    Attributes
    ----------
    project, profile : str
        Path of the project file for the worker, and the profile that gives its stores.
    session : str
        Key of the session; its spec and file follow.
    step, run : str
        Name in nwbpipe.toml, or "convert"; and name of the results.
    key : str
        Key of the run in the plan.
    inputs : mapping of str to str
        HDF5 paths, or addresses of artefacts.
    session_inputs : sequence of (str, mapping of str to str)
        For a step of project scope: key of each session, and the HDF5 paths of its inputs.
    threads, gpu, disk_gb, time_limit_s, gpu_memory_gb, memory_gb
        Resources that it may use.
    lease, owner : str
        Path of the lease that the runner took, and the runner's name in it.
    """

    project: str
    profile: str
    session: str
    subject_id: str
    session_id: str
    spec: str
    file: str
    step: str
    run: str
    key: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    session_inputs: Sequence[tuple[str, Mapping[str, str]]] = ()
    threads: int = 1
    gpu: int = 0
    disk_gb: float = 0.0
    time_limit_s: float | None = None
    gpu_memory_gb: float = 0.0
    lease: str = ""
    owner: str = ""
    memory_gb: float = 0.0


@dataclass(frozen=True)
class JobOutcome:
    """The outcome of a run.

    Attributes
    ----------
    ending : {"done", "failed", "interrupted", "held"}
        Held: it could not be committed, because another program has the file; the result waits in scratch.
    computed : bool
        False if it was done already.
    text : str
        The error.
    log : str
        Path of the log in ``state://``.
    seconds : float
    """

    ending: Ending
    computed: bool = False
    text: str = ""
    log: str = ""
    seconds: float = 0.0


@lru_cache(maxsize=4)
def _load_planner(path: str, profile: str, _changed: int) -> Planner:
    return Planner(load_project(path, profile=profile), may_run=True)  # `Project.run` asked for trust


def execute_job(values: Mapping[str, Any], progress: Callable[[float, str], None] | None = None) -> dict[str, Any]:
    """Run a job, write its run object, and return a `JobOutcome` as plain values.

    The job's lease is held here until it ends: a runner that dies meanwhile lets no other one begin the same.
    """
    job = Job(**values)
    planner = _load_planner(job.project, job.profile, os.stat(job.project).st_mtime_ns)  # noqa: PTH116
    leases = Leases(planner.state)
    try:
        if job.lease and leases.adopt(job.lease, job.owner, **identify_job()) is None:
            return asdict(JobOutcome("interrupted", text="its runner has lost it, perhaps to another runner"))
        return _execute(planner, job, progress)
    finally:
        leases.close()


def _execute(planner: Planner, job: Job, progress: Callable[[float, str], None] | None) -> dict[str, Any]:
    started, cpu = format_now(), time.process_time()
    record, computed, log, error = None, False, None, None
    try:
        with (
            use_settings(planner.tool_settings),
            limit_memory(job.memory_gb),
            reserve_gpus(job.gpu, job.gpu_memory_gb) as visible,
        ):
            record, computed, log = _run(planner, job, visible, progress)
    except (KeyboardInterrupt, SystemExit):
        raise
    except (LockedFileError, ConflictError) as held:
        return asdict(JobOutcome("held", text=str(held)))
    except NwbpipeError as caught:
        error = caught
        log = Path(caught.log) if isinstance(caught, ToolError) and caught.log else None
    except Exception as caught:
        error = NwbpipeError(
            f"an unexpected error: {type(caught).__name__}: {caught}",
            hint="report it, with the output of `nwbpipe process --debug` for that step",
        )
    outcome: Literal["done", "failed", "interrupted"] = "done"
    if error is not None:
        outcome = "interrupted" if isinstance(error, ToolKilledError) or _gets_more(planner, job, error) else "failed"
    usage = {}
    if record and job.step != CONVERT:
        usage = {name: value for name, value in record.resources.items() if isinstance(value, int | float)}
    if job.step == CONVERT and computed:  # in this process, which runs one job at a time
        usage["cpu_seconds"] = time.process_time() - cpu
    run = RunObject(
        run_id=record.run_id if record else uuid.uuid4().hex,
        key=record.key if record else job.key,
        session=job.session,
        step=job.run,
        outcome=outcome,
        started=started,
        ended=format_now(),
        host=read_host_label(),
        error=None if error is None else {"code": error.code, "text": str(error)},
        usage=usage,
    )
    if computed or error is not None:
        run = planner.runs.add(run, log)
    return asdict(JobOutcome(outcome, computed, run.error["text"] if run.error else "", run.log, run.seconds))


def _gets_more(planner: Planner, job: Job, error: NwbpipeError) -> bool:
    """Return True if a run that ran out of memory is begun again with more of it."""
    if job.step == CONVERT or not isinstance(error, ToolMemoryError):
        return False
    is_growing = planner.project.steps[job.step].resources.memory_growth > 1.0
    return is_growing and count_memory_ends(job, planner.runs) < planner.project.executor.retries


def _run(
    planner: Planner, job: Job, visible: str, progress: Callable[[float, str], None] | None
) -> tuple[RunRecord, bool, Path | None]:
    _check_disk(job.disk_gb)
    if job.step == CONVERT:
        record, computed = convert_session(planner, _make_session(job), lock_timeout=LOCK_TIMEOUT)
        return record, computed, None
    step = planner.project.steps[job.step]
    facts = planner.tools[job.step]

    def is_outdated(record: RunRecord) -> bool:
        return bool(explain_staleness(record, facts, step.policy))

    if isinstance(step.method, ProjectProcessor):
        run = make_artefact(
            step.method, step.name, step.params, step.seed, _collect_session_inputs(planner, job), planner.models,
            folders=_locate_folders(planner, job), outdated=is_outdated, devices=visible, timeout=job.time_limit_s,
            threads=job.threads, progress=progress,
        )  # fmt: skip
        return run.record, run.computed, run.log
    artefacts = {
        name: str(planner.project.locate(path))
        for name, path in job.inputs.items()
        if path.startswith(f"{MODELS}://")
    }
    run = process(
        job.file,
        step.method,
        step=job.run,
        params=step.params.model_dump(),
        inputs={**job.inputs, **artefacts},
        seed=step.seed,
        primary=step.primary,
        replace=True,
        outdated=is_outdated,
        cascade=True,
        devices=visible,
        timeout=job.time_limit_s,
        threads=job.threads,
        lock_timeout=LOCK_TIMEOUT,
        progress=progress,
    )
    return run.record, run.computed, run.log


def _collect_session_inputs(planner: Planner, job: Job) -> list[SessionInputs]:
    files = {session.key: session.file for session in planner.list_sessions()[0]}
    return [
        SessionInputs(key, SessionFile.at(files[key]), paths) for key, paths in job.session_inputs if key != PROJECT
    ]


def _locate_folders(planner: Planner, job: Job) -> dict[str, tuple[str, Path]]:
    bindings = dict(job.session_inputs).get(PROJECT, {})
    return {name: (binding, planner.project.locate_folder(binding)) for name, binding in bindings.items()}


def _make_session(job: Job) -> Session:
    return Session(
        job.subject_id, job.session_id, _parse_location(job.spec) if job.spec else None, _parse_location(job.file), {}
    )


def _parse_location(text: str) -> Path | str:
    return text if is_remote(text) else Path(text)


def _check_disk(needed_gb: float) -> None:
    free = shutil.disk_usage(scratch_folder()).free / 1e9
    if free < needed_gb:
        msg = "there is not enough scratch space for this run"
        raise FileAccessError(
            msg, where=str(scratch_folder()), expected=f"{needed_gb:g} GB", found=f"{free:.1f} GB free",
            hint="free space, or set another folder: NWBPIPE_SCRATCH",
        )  # fmt: skip
