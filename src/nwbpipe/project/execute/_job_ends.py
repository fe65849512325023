"""Ask the scheduler how a job ended, whose lease was found without an owner."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from nwbpipe.errors import NwbpipeError
from nwbpipe.project.execute._ask_slurm import ask_slurm
from nwbpipe.project.execute._limits import identify_job
from nwbpipe.project.plan._state import StepState
from nwbpipe.project.state import RunObject, RunStore
from nwbpipe.provenance import digest, format_now, read_host_label
from nwbpipe.stores import Store

_ASK_AGAIN_S = 0.5
_LOGS = ("logs/submit", "logs/dask")
_TAIL_BYTES = 4096
_TAIL_LINES = 5
# In lines of SLURM alone: a tool that ran out of a GPU's memory was not killed for it.
_MEMORY_WORDS = re.compile(r"\bslurmstepd\b.*(exceeded (\w+ )?memory limit|out.of.memory|oom.kill)", re.IGNORECASE)
_TIME_WORDS = re.compile(r"\bslurmstepd\b.*due to time limit", re.IGNORECASE)
_BEGINNING = "the job "
_MEMORY = (
    "was killed because it used more memory than it had asked for",
    "raise `memory` in [executor.kinds], or resources.memory_gb of the step",
)
_TIME = ("was ended by the scheduler at its time limit", "raise `walltime` in [executor.kinds]")
# Nothing that the run did: it is begun again, however often that happens.
_STILL_THERE = frozenset({"PENDING", "RUNNING", "COMPLETING"})
_NOT_ITS_FAULT = _STILL_THERE | {"REQUEUED", "COMPLETED", "CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL"}


@dataclass(frozen=True)
class JobEnd:
    """The end of a job of a scheduler.

    Attributes
    ----------
    job : str
        Id of the job.
    code : str
        Of the error that it stands for: memory (NP214), time (NP215), or another end (NP216).
    text : str
        Explanation, with the last lines of its log and the next step.
    log : str
        Path of its log in ``state://``; "" if it has none.
    """

    job: str
    code: str
    text: str
    log: str = ""


def explain_job_end(lease: Mapping[str, Any], state: Store, *, patience_s: float = 0.0) -> JobEnd | None:
    """Return how the job ended that held a lease; None if it was not a job of SLURM, or still runs.

    Parameters
    ----------
    lease : mapping
        Content of the lease.
    state : Store
        ``state://``, with the logs of the jobs.
    patience_s : float
        Seconds to wait for the scheduler to see that the job has ended.
    """
    job = lease.get("job")
    if lease.get("scheduler") != "slurm" or not isinstance(job, str) or not re.fullmatch(r"\d+(_\d+)?", job):
        return None
    limit = time.monotonic() + patience_s
    while (ending := _ask_state(job)) in _STILL_THERE and time.monotonic() < limit:
        time.sleep(_ASK_AGAIN_S)
    log, tail = _read_tail(job, state)
    if ending in _NOT_ITS_FAULT:
        ending = ""
    if ending == "OUT_OF_MEMORY" or _MEMORY_WORDS.search(tail):
        code, ending_text, hint = "NP214", *_MEMORY
    elif ending == "TIMEOUT" or _TIME_WORDS.search(tail):
        code, ending_text, hint = "NP215", *_TIME
    elif ending:
        code, ending_text, hint = "NP216", f"ended as {ending}", "see its log, or ask the cluster's administrators"
    else:
        return None
    text = _describe_end(job, ending_text, hint)
    if lines := tail.splitlines()[-_TAIL_LINES:]:
        text += "\n  its log ends with:" + "".join(f"\n    {line[:300]}" for line in lines)
    return JobEnd(job, code, text, log)


def explain_own_end() -> JobEnd | None:
    """Return the end of the job that this process runs in, which the scheduler stops at its time limit."""
    job = identify_job().get("job")
    return JobEnd(job, "NP215", _describe_end(job, *_TIME)) if job else None


def record_job_end(
    end: JobEnd, lease: Mapping[str, Any], state: StepState, runs: RunStore, retries: int
) -> Literal["interrupted", "failed"]:
    """Record the run that a job was at when it was ended.

    Parameters
    ----------
    end : JobEnd
    lease : mapping
        Content of the job's lease.
    state : StepState
        The run.
    runs : RunStore
    retries : int
        After this number of ends the next one is a failure.

    Returns
    -------
    {"interrupted", "failed"}
        What was recorded: a run that failed is not begun again.
    """
    run_id = digest(f"{end.job} {lease.get('owner')} {state.session} {state.run}")[:32]
    earlier = sum(
        run.key == state.key and run.run_id != run_id and (run.error or {}).get("text", "").startswith(_BEGINNING)
        for run in _list_interrupted(state, runs)
    )
    outcome: Literal["interrupted", "failed"] = "failed" if earlier >= retries else "interrupted"
    text = end.text if outcome == "interrupted" else f"{end.text}\n  so ended: {earlier + 1} jobs with this run"
    now, error = format_now(), {"code": end.code, "text": text}
    label = read_host_label()
    runs.add(RunObject(run_id, state.key, state.session, state.run, outcome, now, now, label, error, log=end.log))
    return outcome


class _Run(Protocol):
    """A run of a step in a session, such as a `StepState`."""

    @property
    def session(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def key(self) -> str: ...


def count_memory_ends(state: _Run, runs: RunStore) -> int:
    """Return how often this run, or the job that it was in, was ended for its memory."""
    return sum(
        run.key == state.key and (run.error or {}).get("code") == "NP214" for run in _list_interrupted(state, runs)
    )


def _list_interrupted(state: _Run, runs: RunStore) -> Iterator[RunObject]:
    """Yield the interrupted runs of a step in a session; skip objects that can't be read."""
    for entry in runs.store.list(f"runs/interrupted/{state.session}/{state.run}"):
        if entry.path.endswith(".json"):
            with suppress(NwbpipeError):
                yield runs.read(entry.path)


def _describe_end(job: str, ending: str, hint: str) -> str:
    return f"{_BEGINNING}{job} {ending}\n  next:     {hint}"


def _ask_state(job: str) -> str:
    """Return the state of a job as SLURM's accounts or its controller tell it; "" if neither does."""
    text = ask_slurm("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job}", "--format=State")
    if words := text.split():
        return words[0]
    match = re.search(r"\bJobState=(\w+)", ask_slurm("scontrol", "--oneliner", "show", "job", job))
    return match[1] if match else ""


def _read_tail(job: str, state: Store) -> tuple[str, str]:
    """Return path and end of a job's log; empty texts if there is none."""
    for folder in _LOGS:
        for entry in state.list(folder):
            if entry.path.endswith(f"-{job}.log"):
                start = max(0, entry.size - _TAIL_BYTES)
                data = state.read_range(entry.path, start, entry.size)
                return entry.path, data.decode("utf-8", errors="replace").strip()
    return "", ""
