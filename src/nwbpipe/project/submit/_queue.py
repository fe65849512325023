"""Ask the scheduler which jobs of a project wait, why, and which run, where; cancel them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from nwbpipe.project.state import Leases
from nwbpipe.project.submit._schedulers import SCHEDULERS
from nwbpipe.project.submit._submission import Submission, cancel_arrays, list_submissions, write_submission

if TYPE_CHECKING:
    from nwbpipe.project._project import Project

_ASK_TIMEOUT_S = 20.0
_LATEST = 50  # submissions that are asked for


@dataclass(frozen=True)
class JobState:
    """The state of one job, or of the jobs of an array that wait.

    Attributes
    ----------
    job, name : str
        Id and name.
    state : str
        "pending", "running", or another word of the scheduler.
    reason : str
        Why it waits, in the scheduler's word.
    node, since : str
        Where it runs, and since when.
    run : str
        The session and step that it computes; "" if it is between two.
    """

    job: str
    name: str
    state: str
    reason: str = ""
    node: str = ""
    since: str = ""
    run: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class QueuedSubmission:
    """A submission with the states of its jobs.

    Attributes
    ----------
    submission : Submission
    jobs : tuple of JobState
        Its jobs in the queue.
    problem : str
        Why the scheduler did not tell them; "" if it did.
    """

    submission: Submission
    jobs: tuple[JobState, ...] = ()
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the submission and its jobs as JSON values."""
        return {
            **self.submission.as_dict(),
            "jobs": [job.as_dict() for job in self.jobs],
            "problem": self.problem,
        }


def list_queued(project: Project) -> list[QueuedSubmission]:
    """Return the submissions of a project that have jobs in the queue, or of which the scheduler tells nothing.

    The scheduler is asked only if there are submissions.
    """
    submissions = [entry for entry in list_submissions(project.planner.state)[-_LATEST:] if not entry.cancelled]
    slurm = [submission for submission in submissions if submission.scheduler == "slurm"]
    if not slurm:
        return []
    states, problem = _ask_slurm(slurm)
    if problem:  # the newest one alone: how the others ended isn't known
        return [QueuedSubmission(slurm[-1], (), problem)]
    runs = {
        str(lease["job"]): f"{lease.get('session', '')} {lease.get('step', '')}"
        for lease in Leases(project.planner.state).list_active()
        if lease.get("scheduler") == "slurm" and lease.get("job")
    }
    queued = []
    for submission in slurm:
        ids = {array.job for array in submission.arrays}
        jobs = tuple(
            replace(state, run=runs.get(state.job, ""))
            for state in sorted(states, key=lambda state: state.state != "running")
            if state.job.partition("_")[0] in ids
        )
        if jobs:
            queued.append(QueuedSubmission(submission, jobs))
    return queued


def cancel_submissions(project: Project) -> list[Submission]:
    """Cancel the jobs of all submissions of a project that are not known to have ended; return those submissions.

    A worker that runs stops as at Ctrl-C: nothing that was committed is lost.

    Raises
    ------
    WorkError
        The scheduler's command fails.
    """
    store = project.planner.state
    queued = list_queued(project)
    in_queue = None if any(entry.problem for entry in queued) else {entry.submission.id for entry in queued}
    cancelled = []
    for submission in list_submissions(store):
        has_ended = submission.scheduler == "slurm" and in_queue is not None and submission.id not in in_queue
        if not (submission.cancelled or has_ended) and submission.arrays:
            cancel_arrays(SCHEDULERS[submission.scheduler], submission)
            write_submission(store, replace(submission, cancelled=True))
            cancelled.append(submission)
    return cancelled


def _ask_slurm(submissions: Sequence[Submission]) -> tuple[list[JobState], str]:
    """Return the states of the jobs with our names; or why SLURM does not tell."""
    names = sorted({array.name for submission in submissions for array in submission.arrays})
    command = ["squeue", "--noheader", f"--name={','.join(names)}", "--format=%i|%j|%T|%r|%N|%S"]
    try:
        answer = subprocess.run(  # without a shell
            command, capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        return [], "squeue is not on PATH: look where jobs can be submitted"
    except (OSError, subprocess.SubprocessError) as error:
        return [], f"squeue does not answer: {error}"
    if answer.returncode != 0:
        return [], f"squeue does not answer: {answer.stderr.strip().partition(chr(10))[0][:300]}"
    states = []
    for line in answer.stdout.splitlines():
        parts = line.split("|")
        if len(parts) == 6:
            job, name, state, reason, node, since = parts
            running = state == "RUNNING"
            states.append(
                JobState(job, name, state.lower(), "" if running else reason, node, since if running else "")
            )
    return states, ""
