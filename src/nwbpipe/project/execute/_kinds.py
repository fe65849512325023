"""Executors by kind: ours, and those of other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from nwbpipe.errors import FileAccessError, UnknownNameError

if TYPE_CHECKING:
    from nwbpipe.project._model import ExecutorSpec
    from nwbpipe.project.execute._executor import Executor

EXECUTOR_GROUP = "nwbpipe.executors"
_LOCAL, _DASK = "nwbpipe.project.execute._local:LocalExecutor", "nwbpipe.project.execute._dask:DaskExecutor"
_OURS = {"local": _LOCAL} | dict.fromkeys(("dask", "slurm", "pbs", "sge", "lsf", "cloud"), _DASK)


def executor_kinds() -> list[str]:
    """List the kinds that `make_executor` knows, ours first."""
    return [*_OURS, *sorted(set(_entry_points()) - set(_OURS))]


def make_executor(spec: ExecutorSpec) -> Executor:
    """Make the executor of a kind: one of ours, or an entry point of the group ``nwbpipe.executors``.

    Raises
    ------
    UnknownNameError
        If no executor is installed under that kind.
    FileAccessError
        If an entry point can't be loaded.
    """
    points = _entry_points()
    if spec.kind not in points:
        msg = f"no executor is called {spec.kind!r}"
        raise UnknownNameError(msg, expected=", ".join(executor_kinds()), hint="install the package that offers it")
    point = points[spec.kind]
    try:
        cls = point.load()
    except ImportError as error:
        msg = f"the executor {spec.kind!r} can't be loaded"
        raise FileAccessError(msg, where=f"entry point {point.value}", found=str(error), hint="repair it") from error
    executor: Executor = cls(spec)
    return executor


def _entry_points() -> dict[str, EntryPoint]:
    plugins = {point.name: point for point in entry_points(group=EXECUTOR_GROUP)}
    return plugins | {kind: EntryPoint(kind, value, EXECUTOR_GROUP) for kind, value in _OURS.items()}
