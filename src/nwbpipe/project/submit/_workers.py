"""Plan the workers of a submission: one array of jobs for each kind, as large as its runs need."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nwbpipe.errors import Problem, RequestError
from nwbpipe.processors import Resources
from nwbpipe.project._model import ExecutorSpec, WorkerKind
from nwbpipe.project._spec import Step
from nwbpipe.project.execute._worker_fit import explain_misfit, parse_memory, read_walltime
from nwbpipe.project.plan import StepState
from nwbpipe.project.plan._state import CONVERT

_STANDARD = "standard"
_MARGIN_S = 600  # seconds for the start of a worker, reading inputs and the commit
_LEAST_MEMORY_GB = 4.0
_WORKERS = 2


@dataclass(frozen=True)
class WorkerArray:
    """An array of jobs, each of which is a worker of one kind.

    Attributes
    ----------
    kind : str
        The kind of worker.
    takes : tuple of str
        Kinds of the runs that it takes.
    workers : int
        Size of the array.
    cores, gpu : int
        Of each job.
    memory_bytes : int
        Memory of each job.
    walltime_s : int or None
        Time limit of each job in seconds; None leaves it to the cluster.
    queue, account : str
        Partition or queue, and account; "" leaves them to the cluster.
    directives : tuple of str
        More words of the scheduler's command.
    prologue : tuple of str
        Lines of shell that the job runs first.
    memory_growth : float
        Factor by which the memory of each round is more than that of the round before.
    """

    kind: str
    takes: tuple[str, ...]
    workers: int
    cores: int = 1
    gpu: int = 0
    memory_bytes: int = 4 * 10**9
    walltime_s: int | None = None
    queue: str = ""
    account: str = ""
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    memory_growth: float = 1.0

    def grow(self, tries: int) -> WorkerArray:
        """Return the array with the memory for runs of which so many jobs were killed for it."""
        return replace(self, memory_bytes=math.ceil(self.memory_bytes * self.memory_growth**tries))


def plan_workers(
    spec: ExecutorSpec,
    steps: Mapping[str, Step],
    states: Sequence[StepState],
    *,
    workers: int | None = None,
    hours_first: bool = False,
) -> list[WorkerArray]:
    """Plan an array for each kind of worker that the runs need.

    Parameters
    ----------
    spec : ExecutorSpec
        The kinds of workers; without any, they follow from the resources of the steps.
    steps : mapping
        The steps of the project.
    states : sequence of StepState
        The runs that are to be done.
    workers : int, optional
        Size of each array; by default that of nwbpipe.toml. No array is larger than its number of runs.
    hours_first : bool
        See `parse_duration`.

    Raises
    ------
    RequestError
        A step fits no kind of worker, or a kind's memory or walltime can't be read.
    """
    counts = Counter(state.step for state in states)
    resources = {name: Resources() if name == CONVERT else steps[name].resources for name in counts}
    kinds: dict[str, WorkerKind] = (
        {str(name): kind for name, kind in spec.kinds.items()}
        if spec.kinds
        else _derive_kinds(resources.values(), spec.workers or _WORKERS)
    )
    walltimes = {name: read_walltime(name, kind, hours_first=hours_first) for name, kind in kinds.items()}
    chosen: dict[str, list[str]] = {}
    problems = []
    for step, needed in resources.items():
        candidates = [needed.kind] if needed.kind != _STANDARD else sorted(kinds, key=lambda name: name != _STANDARD)
        refusals = {
            name: explain_misfit(needed, kinds[name], walltimes[name]) if name in kinds else "is not declared"
            for name in candidates
        }
        fitting = next((name for name, refusal in refusals.items() if not refusal), None)
        if fitting is not None:
            chosen.setdefault(fitting, []).append(step)
            continue
        reasons = "; ".join(f"[executor.kinds.{name}] {refusal}" for name, refusal in refusals.items())
        problems.append(
            Problem(
                f"the step {step!r} fits no kind of worker", found=reasons,
                hint="change the step's resources, or the kind of worker, in nwbpipe.toml",
            )
        )  # fmt: skip
    if problems:
        msg = "some steps fit no kind of worker"
        raise RequestError(msg, where="[executor.kinds]", problems=problems)
    return [
        _make_array(name, kinds[name], walltimes[name], chosen[name], resources, counts, workers)
        for name in kinds
        if name in chosen
    ]


def count_rounds(steps: Mapping[str, Step], arrays: Sequence[WorkerArray]) -> int:
    """Return how many arrays after each other finish the work: one more than runs change their kind, and a spare."""
    kinds = {name: step.resources.kind for name, step in steps.items()}
    changes: dict[str, int] = {}
    for name, step in steps.items():  # in an order in which each comes after those that it needs
        upstream = [(changes[needed], kinds[needed]) for needed in step.upstream] or [(0, _STANDARD)]
        changes[name] = max(count + (kind != kinds[name]) for count, kind in upstream)
    return (max(changes.values(), default=0) if len(arrays) > 1 else 0) + 2


def _derive_kinds(resources: Iterable[Resources], workers: int) -> dict[str, WorkerKind]:
    """Return kinds of workers that fit the steps, for a project that declares none."""
    groups: dict[str, list[Resources]] = {}
    for needed in resources:
        groups.setdefault(needed.kind, []).append(needed)
    kinds = {}
    for name, group in groups.items():
        limits = [needed.time_limit_s for needed in group]
        longest = max((limit for limit in limits if limit is not None), default=None)
        seconds = None if longest is None or None in limits else math.ceil(longest) + _MARGIN_S
        kinds[name] = WorkerKind(
            workers=workers,
            cores=max(1, *(needed.cpu for needed in group)),
            memory=f"{max(_LEAST_MEMORY_GB, *(needed.memory_gb for needed in group)):.3f}GB",
            gpu=max(needed.gpu for needed in group),
            walltime=None if seconds is None else f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}",
        )
    return kinds


def _make_array(
    name: str,
    kind: WorkerKind,
    walltime_s: int | None,
    steps: Sequence[str],
    resources: Mapping[str, Resources],
    counts: Counter[str],
    workers: int | None,
) -> WorkerArray:
    options = kind.options
    # A worker without a GPU takes standard runs too, so that a session goes on where it was begun.
    takes = {name, *(resources[step].kind for step in steps), *(() if kind.gpu else (_STANDARD,))}
    runs = sum(counts[step] for step in steps)
    return WorkerArray(
        kind=name,
        takes=tuple(sorted(takes)),
        workers=max(1, min(workers or kind.workers, runs)),
        cores=kind.cores,
        gpu=kind.gpu,
        memory_bytes=parse_memory(kind.memory),
        walltime_s=walltime_s,
        queue=kind.queue or str(options.get("queue", "")),
        account=str(options.get("account") or options.get("project") or ""),
        directives=_split_directives(name, options.get("job_extra_directives")),
        prologue=_list_texts(options.get("job_script_prologue")),
        memory_growth=max(resources[step].memory_growth for step in steps),
    )


def _split_directives(name: str, value: object) -> tuple[str, ...]:
    """Return directives as words: in a script, "-C fast" is an option and its value."""
    words: list[str] = []
    for text in _list_texts(value):
        try:
            words += shlex.split(text)
        except ValueError as error:
            msg = "a directive of the scheduler can't be read"
            raise RequestError(
                msg, where=f"[executor.kinds.{name}] options.job_extra_directives",
                expected="options as in a job's script", found=text,
            ) from error  # fmt: skip
    return tuple(words)


def _list_texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
