"""The contract of an executor: it computes jobs somewhere, and tells the runner by events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nwbpipe.processors import Resources
from nwbpipe.project.execute._run_job import Job, JobOutcome

_UNKNOWN, _TAKEN = -1.0, -2.0  # of the memory of a GPU: not known; not known, and in use


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
    gpu_memory_gb : tuple of float
        Memory of each GPU; 0 where it is not known: such a GPU is not shared.
    """

    slots: int
    cpu: int
    memory_gb: float
    gpu: int
    in_use: dict[int, Resources] = field(default_factory=dict)
    gpu_memory_gb: tuple[float, ...] = ()

    def explain_refusal(self, wanted: Resources) -> str:
        """Return why a job can never run here; "" if it can."""
        for name, limit in (("cpu", self.cpu), ("memory_gb", self.memory_gb), ("gpu", self.gpu)):
            if getattr(wanted, name) > limit:
                return f"needs {name} = {getattr(wanted, name):g}, but there is {limit:g}"
        sizes = [memory for memory in self.gpu_memory_gb if memory]
        if wanted.gpu and len(sizes) == self.gpu and not self._have_gpus([wanted]):
            return f"needs gpu_memory_gb = {wanted.gpu_memory_gb:g}, but the largest GPU has {max(sizes):g}"
        return ""

    def fits(self, wanted: Resources) -> bool:
        """Return True if a job can begin now."""
        busy = self.in_use.values()
        return (
            len(self.in_use) < self.slots
            and sum(used.cpu for used in busy) + wanted.cpu <= self.cpu
            and sum(used.memory_gb for used in busy) + wanted.memory_gb <= self.memory_gb
            and self._have_gpus([*busy, wanted])
        )

    def _have_gpus(self, jobs: Sequence[Resources]) -> bool:
        """Return True if jobs can run side by side on the GPUs; which of them each gets is chosen where it runs."""
        memory = [*self.gpu_memory_gb[: self.gpu], *[0.0] * (self.gpu - len(self.gpu_memory_gb))]
        # Jobs that take a GPU whole get the small ones, so that the large ones are left to be shared.
        free = sorted(size or _UNKNOWN for size in memory)
        shared = [job for job in jobs if job.gpu and job.gpu_memory_gb]
        unshared = sum(job.gpu for job in jobs if not job.gpu_memory_gb)
        if unshared > len(free):
            return False
        free = free[unshared:]
        for job in sorted(shared, key=lambda job: (-job.gpu, -job.gpu_memory_gb)):
            # One whose memory is not known is taken as a whole.
            fitting = [
                number for number, memory in enumerate(free) if memory >= job.gpu_memory_gb or memory == _UNKNOWN
            ]
            if len(fitting) < job.gpu:
                return False
            for number in fitting[: job.gpu]:
                free[number] = _TAKEN if free[number] == _UNKNOWN else free[number] - job.gpu_memory_gb
        return True


class Executor(Protocol):
    """Computes jobs somewhere.

    The runner alone calls it, from one thread: it submits while `fits`, and takes events by `wait`. A worker, in
    whatever process, calls ``execute_job(dataclasses.asdict(job))`` and hands back its outcome; the result is in the
    session file by then. A class is made known by an entry point of the group ``nwbpipe.executors``, whose name is
    the ``kind`` in nwbpipe.toml; it is called with an `ExecutorSpec`. `nwbpipe.testing.ExecutorTests` tests all this.
    One with the attribute ``tells_begin = True`` sends an event with `begun` when a worker begins a job. With
    ``workers_outlive = True`` a worker may compute on after `close`.
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
