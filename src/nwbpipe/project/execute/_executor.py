"""What an executor offers to the runner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from nwbpipe.processors import Resources
from nwbpipe.project.execute._run_job import Job, JobOutcome


@dataclass(frozen=True)
class Event:
    """Something happened to a job.

    Attributes
    ----------
    token : int
        Of the job, as `Executor.submit` returned it.
    ended : Ended or None
        Set if it ended.
    lost : bool
        Whether its worker died under it: it may be begun again.
    fraction, text
        Progress.
    """

    token: int
    ended: JobOutcome | None = None
    lost: bool = False
    fraction: float = 0.0
    text: str = ""


@dataclass
class Capacity:
    """What is free of a machine's resources.

    Attributes
    ----------
    slots, cpu, memory_gb, gpu
        In all, and what jobs take of it.
    """

    slots: int
    cpu: int
    memory_gb: float
    gpu: int
    in_use: dict[int, Resources] = field(default_factory=dict)

    def explain_refusal(self, wanted: Resources) -> str:
        """Say why a job could never run here; "" if it could."""
        for name, limit in (("cpu", self.cpu), ("memory_gb", self.memory_gb), ("gpu", self.gpu)):
            if getattr(wanted, name) > limit:
                return f"needs {name} = {getattr(wanted, name):g}, and there is {limit:g}"
        return ""

    def fits(self, wanted: Resources) -> bool:
        """Whether a job could begin now."""
        busy = self.in_use.values()
        return (
            len(self.in_use) < self.slots
            and sum(one.cpu for one in busy) + wanted.cpu <= self.cpu
            and sum(one.memory_gb for one in busy) + wanted.memory_gb <= self.memory_gb
            and sum(one.gpu for one in busy) + wanted.gpu <= self.gpu
        )


class Executor(Protocol):
    """Computes jobs somewhere."""

    def explain_refusal(self, wanted: Resources) -> str:
        """Say why a job could never run here; "" if it could."""

    def fits(self, wanted: Resources) -> bool:
        """Whether a job could begin now."""

    def choose_threads(self, wanted: Resources) -> int:
        """How many threads its tool gets."""

    def submit(self, job: Job, wanted: Resources) -> int:
        """Begin a job; return a token for it."""

    def wait(self, timeout: float) -> list[Event]:
        """Return what happened since, waiting up to `timeout` seconds for something."""

    def close(self) -> None:
        """End, and end what still runs."""

    @property
    def about(self) -> str:
        """One line for the user, e.g. the address of a dashboard."""
