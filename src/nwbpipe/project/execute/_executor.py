"""The contract of an executor: it computes jobs somewhere, and tells the runner by events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nwbpipe.processors import Resources
from nwbpipe.project.execute._run_job import Job, JobOutcome


@dataclass(frozen=True)
class Event:
    """A change of a job: progress, its end, or the loss of its worker.

    Attributes
    ----------
    token : int
        Of the job, as `Executor.submit` returned it.
    ended : JobOutcome or None
        The outcome, if it ended.
    lost : bool
        True if its worker died: the runner may submit it again.
    begun : bool
        True if a worker begins it, where the executor `tells_begin`.
    fraction, text
        Progress.
    job : mapping of str to str
        Scheduler and id of the job that the lost worker ran in, if it was one.
    notice : str
        A line for the user about the workers, of no run; the token is 0.
    """

    token: int
    ended: JobOutcome | None = None
    lost: bool = False
    begun: bool = False
    fraction: float = 0.0
    text: str = ""
    job: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""


@dataclass
class Capacity:
    """The resources of a machine, and the jobs that use them.

    Attributes
    ----------
    slots, cpu, memory_gb, gpu
        In all.
    in_use : dict
        Resources of the jobs that run, by token.
    """

    slots: int
    cpu: int
    memory_gb: float
    gpu: int
    in_use: dict[int, Resources] = field(default_factory=dict)

    def explain_refusal(self, wanted: Resources) -> str:
        """Return why a job can never run here; "" if it can."""
        for name, limit in (("cpu", self.cpu), ("memory_gb", self.memory_gb), ("gpu", self.gpu)):
            if getattr(wanted, name) > limit:
                return f"needs {name} = {getattr(wanted, name):g}, but there is {limit:g}"
        return ""

    def fits(self, wanted: Resources) -> bool:
        """Return True if a job can begin now."""
        busy = self.in_use.values()
        return (
            len(self.in_use) < self.slots
            and sum(used.cpu for used in busy) + wanted.cpu <= self.cpu
            and sum(used.memory_gb for used in busy) + wanted.memory_gb <= self.memory_gb
            and sum(used.gpu for used in busy) + wanted.gpu <= self.gpu
        )


class Executor(Protocol):
    """Computes jobs somewhere.

    The runner alone calls it, from one thread: it submits while `fits`, and takes events by `wait`. A worker, in
    whatever process, calls ``execute_job(dataclasses.asdict(job))`` and hands back its outcome; the result is in the
    session file by then. A class is made known by an entry point of the group ``nwbpipe.executors``, whose name is
    the ``kind`` in nwbpipe.toml; it is called with an `ExecutorSpec`. `nwbpipe.testing.ExecutorTests` tests all this.
    One with the attribute ``tells_begin = True`` sends an event with `begun` when a worker begins a job.
    """

    def explain_refusal(self, wanted: Resources) -> str:
        """Return why a job can never run here; "" if it can."""

    def fits(self, wanted: Resources) -> bool:
        """Return True if a job can be submitted now."""

    def choose_threads(self, wanted: Resources) -> int:
        """Return how many threads its tool gets."""

    def submit(self, job: Job, wanted: Resources) -> int:
        """Begin a job; return its token."""

    def wait(self, timeout: float) -> list[Event]:
        """Return the events since the last call; wait up to `timeout` seconds for the first.

        Each job ends with exactly one event that has `ended`, or is `lost`.
        """

    def close(self) -> None:
        """End the jobs that still run, and the workers."""

    @property
    def about(self) -> str:
        """One line for the user, e.g. the address of a dashboard."""
