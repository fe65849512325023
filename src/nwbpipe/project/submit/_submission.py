"""Submit the workers of a project to a scheduler, keep their ids in ``state://``, and cancel them."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from nwbpipe.errors import FileAccessError, NwbpipeError, RequestError, ToolMissingError, WorkError
from nwbpipe.project._state_folder import find_state_folder, make_state_folder
from nwbpipe.project._trust import require_trust
from nwbpipe.project.execute._job_ends import count_memory_ends
from nwbpipe.project.submit._schedulers import (
    SCHEDULERS,
    JobArray,
    Scheduler,
    choose_scheduler,
    clean_name,
    split_array,
)
from nwbpipe.project.submit._script import write_script
from nwbpipe.project.submit._workers import count_rounds, plan_workers
from nwbpipe.provenance import format_now
from nwbpipe.stores import Store

if TYPE_CHECKING:
    from nwbpipe.project._project import Project
    from nwbpipe.project._spec import ProjectSpec

SUBMIT_TIMEOUT_S = 120.0
MOST_ROUNDS = 20
_FORMAT = 1
_MAX_BYTES = 2**20
_FOLDER = "submissions"
_KEPT = ("SLURM_CONF",)  # other variables of a job that we run in are not those of the jobs that we submit


@dataclass(frozen=True)
class SubmittedArray:
    """An array that a scheduler accepted: its id, its jobs' name, the kind of its workers, its size and its round."""

    job: str
    name: str
    kind: str
    size: int
    round: int


@dataclass(frozen=True)
class Submission:
    """The arrays that one call submitted, as they are kept in ``state://``.

    Attributes
    ----------
    id : str
        Its name; also that of the folder of its logs.
    created : str
        ISO 8601, UTC.
    scheduler : str
        "slurm", "pbs", "sge" or "lsf".
    arrays : tuple of SubmittedArray
    cancelled : bool
        True if `cancel_submissions` ended it.
    """

    id: str
    created: str
    scheduler: str
    arrays: tuple[SubmittedArray, ...] = ()
    cancelled: bool = False
    format: int = _FORMAT

    def as_dict(self) -> dict[str, Any]:
        """Return the submission as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class PreparedSubmission:
    """The arrays of a submission, round by round, and the script of each kind of worker; nothing is submitted yet."""

    id: str
    scheduler: Scheduler
    rounds: tuple[tuple[JobArray, ...], ...]
    scripts: Mapping[str, str]
    runs: int
    spec: ProjectSpec
    store: Store

    @property
    def jobs(self) -> int:
        """Number of jobs of the first round."""
        return sum(array.size for array in self.rounds[0]) if self.rounds else 0

    def lines(self) -> Iterator[str]:
        """Yield the commands and scripts, to show them."""
        for number, arrays in enumerate(self.rounds, 1):
            for array in arrays:
                yield f"# round {number}: {array.size} jobs of the kind {array.worker.kind}"
                if number > 1:
                    array = replace(array, previous=(f"ROUND-{number - 1}",))
                yield f"{shlex.join(self.scheduler.write_command(array))} < {array.worker.kind}.sh"
        for kind, script in self.scripts.items():
            yield f"# {kind}.sh"
            yield script.rstrip("\n")


def prepare_submission(
    project: Project,
    sessions: Sequence[str] = (),
    where: str | None = None,
    *,
    steps: Sequence[str] = (),
    array: int | None = None,
    rounds: int | None = None,
) -> PreparedSubmission:
    """Plan the arrays of a submission; nothing is submitted.

    Parameters
    ----------
    project : Project
    sessions, where, steps
        See `Project.run`.
    array : int, optional
        Workers of each kind; by default as in nwbpipe.toml.
    rounds : int, optional
        Number of times that the workers are submitted, each time after those before have ended.

    Raises
    ------
    RequestError
        A step fits no kind of worker, or the scheduler is not known.
    """
    spec = project.spec
    scheduler = choose_scheduler(spec.executor)
    states = project.pending(sessions, where, steps=steps)
    workers = plan_workers(
        spec.executor, spec.steps, states, workers=array, hours_first=scheduler.name == "lsf"
    )  # fmt: skip
    name = f"{datetime.now(UTC):%Y%m%d%H%M%S-%f}-{secrets.token_hex(3)}"  # sorted by time
    store = project.planner.state
    logs = _log_folder(spec) / name
    largest = scheduler.find_largest_array() if workers else 1
    is_growing = any(worker.memory_growth > 1 for worker in workers)
    tries = max((count_memory_ends(state, project.planner.runs) for state in states), default=0) if is_growing else 0
    count = count_rounds(spec.steps, workers) + (spec.executor.retries if is_growing else 0)
    arrays = [
        tuple(
            JobArray(worker.grow(tries + number), size, clean_name("nwbpipe", spec.name, worker.kind), logs)
            for worker in workers
            for size in split_array(worker.workers, largest)
        )
        for number in range(min(rounds or count, MOST_ROUNDS))
    ]
    scripts = {
        worker.kind: write_script(worker, spec.path, spec.profile, sessions, where, steps) for worker in workers
    }
    return PreparedSubmission(name, scheduler, tuple(filter(None, arrays)), scripts, len(states), spec, store)


def submit_workers(prepared: PreparedSubmission) -> Submission:
    """Submit all arrays; if the scheduler refuses one, cancel the others.

    Raises
    ------
    ToolMissingError
        The scheduler's command is not on PATH.
    WorkError
        The scheduler refused a job, with its own words, or does not answer.
    UntrustedError
        The project names programs, such as lines of shell for its jobs, and the user does not trust it.
    """
    require_trust(prepared.spec)
    scheduler = prepared.scheduler
    if shutil.which(scheduler.command) is None:
        msg = f"the command {scheduler.command} is not on PATH"
        raise ToolMissingError(msg, hint=f"submit on a machine that can submit jobs of {scheduler.name}")
    make_state_folder(prepared.spec)
    submission = Submission(prepared.id, format_now(), scheduler.name)
    for arrays in prepared.rounds[:1]:
        for folder in {array.logs for array in arrays}:
            _make_log_folder(folder)
    previous: tuple[str, ...] = ()
    accepted: dict[str, int] = {}  # bytes by kind
    most: dict[str, int] = {}
    try:
        for number, arrays in enumerate(prepared.rounds, 1):
            jobs = []
            for array in arrays:
                kind = array.worker.kind
                memory = min(array.worker.memory_bytes, most.get(kind, array.worker.memory_bytes))
                array = replace(array, worker=replace(array.worker, memory_bytes=memory), previous=previous)
                try:
                    job = _submit_array(scheduler, array, prepared.scripts[kind])
                except WorkError:
                    if accepted.get(kind, memory) == memory:
                        raise
                    # No node has the memory that it has grown to: the rounds before may do.
                    most[kind] = memory = accepted[kind]
                    array = replace(array, worker=replace(array.worker, memory_bytes=memory))
                    job = _submit_array(scheduler, array, prepared.scripts[kind])
                accepted[kind] = memory
                jobs.append(job)
                entry = SubmittedArray(job, array.name, kind, array.size, number)
                submission = replace(submission, arrays=(*submission.arrays, entry))
                write_submission(prepared.store, submission)
            previous = tuple(jobs)
    except BaseException:
        with suppress(NwbpipeError, OSError):  # what can't be cancelled now is left to `cancel_submissions`
            cancel_arrays(scheduler, submission)
            if submission.arrays:
                write_submission(prepared.store, replace(submission, cancelled=True))
        raise
    return submission


def _submit_array(scheduler: Scheduler, array: JobArray, script: str) -> str:
    command = scheduler.write_command(array)
    variables = {
        name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith("SLURM_")
    }  # fmt: skip
    try:
        answer = subprocess.run(  # without a shell
            command, input=script, capture_output=True, text=True, timeout=SUBMIT_TIMEOUT_S, check=False,
            env=variables,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        msg = f"{scheduler.command} did not answer within {SUBMIT_TIMEOUT_S:g} s"
        hint = (
            f"submit again when the scheduler answers; jobs called {array.name} that it took nevertheless do no harm"
        )
        raise WorkError(msg, hint=hint) from error
    except OSError as error:
        msg = f"{scheduler.command} can't be started"
        raise FileAccessError(msg, found=str(error)) from error
    match = re.search(scheduler.id_pattern, answer.stdout.strip(), re.MULTILINE)
    if answer.returncode != 0 or match is None:
        msg = f"{scheduler.name} refused the jobs of the kind {array.worker.kind!r}"
        raise WorkError(
            msg, where=f"[executor.kinds.{array.worker.kind}]",
            found=(answer.stderr or answer.stdout).strip()[:2000] or f"exit code {answer.returncode}, and no word",
            hint="the arrays before it are cancelled; `nwbpipe submit --dry-run` shows the commands",
        )  # fmt: skip
    return match[1]


def list_submissions(store: Store) -> list[Submission]:
    """Return the submissions of a project, oldest first; files that can't be read are left out."""
    submissions = []
    for entry in store.list(_FOLDER):
        if entry.path.endswith(".json") and entry.size <= _MAX_BYTES:
            with suppress(NwbpipeError, ValidationError):
                submission = TypeAdapter(Submission).validate_json(store.read_bytes(entry.path), strict=True)
                if submission.scheduler in SCHEDULERS and all(_is_plain(array) for array in submission.arrays):
                    submissions.append(submission)
    return submissions


def cancel_arrays(scheduler: Scheduler, submission: Submission) -> None:
    """Cancel the arrays of a submission, the last round first: none begins because the one before has ended.

    Raises
    ------
    WorkError
        The scheduler's command fails.
    """
    jobs = [array.job for array in reversed(submission.arrays)]
    if not jobs:
        return
    if shutil.which(scheduler.cancel) is None:
        msg = f"the command {scheduler.cancel} is not on PATH"
        raise ToolMissingError(msg, hint=f"cancel on a machine that can submit jobs of {scheduler.name}")
    try:
        answer = subprocess.run(  # without a shell
            [scheduler.cancel, *jobs], capture_output=True, text=True, timeout=SUBMIT_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{scheduler.cancel} did not answer within {SUBMIT_TIMEOUT_S:g} s"
        raise WorkError(msg, hint="cancel again when the scheduler answers") from error
    # SLURM alone is known to end with 0 for jobs that have ended.
    if answer.returncode != 0 and scheduler.name == "slurm" and "Invalid job id" not in answer.stderr:
        msg = f"{scheduler.cancel} failed"
        raise WorkError(msg, found=answer.stderr.strip()[:2000], hint="cancel again")


def _is_plain(array: SubmittedArray) -> bool:
    """Return True if id and name are such that a command can take them: others may write in the store, too."""
    return bool(
        re.fullmatch(r"\d[\w.\[\]-]*", array.job, flags=re.ASCII)
        and re.fullmatch(r"[\w.-]+", array.name, flags=re.ASCII)
    )


def write_submission(store: Store, submission: Submission) -> None:
    """Keep a submission in ``state://``."""
    data = json.dumps(submission.as_dict(), indent=1).encode()
    store.write_bytes(f"{_FOLDER}/{submission.id}.json", data)


def _log_folder(spec: ProjectSpec) -> Path:
    """Return the folder of the jobs' logs: schedulers write into folders alone."""
    path = find_state_folder(spec) / "logs" / "submit"
    if not str(path).isprintable() or "\\" in str(path):
        msg = "the scheduler can't write logs into this folder"
        raise RequestError(msg, where=str(path), expected="a path without control characters and backslashes")
    return path


def _make_log_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = "the folder of the jobs' logs can't be made"
        raise FileAccessError(msg, where=str(folder), found=str(error)) from error
