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


def is_executor_kind(kind: str) -> bool:
    """Return True if `make_executor` knows a kind; for one of ours the installed packages are not read."""
    return kind in _OURS or kind in _entry_points()


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
    if not is_executor_kind(spec.kind):
        msg = f"no executor is called {spec.kind!r}"
        raise UnknownNameError(msg, expected=", ".join(executor_kinds()), hint="install the package that offers it")
    point = _find_entry_point(spec.kind)
    try:
        cls = point.load()
    except ImportError as error:
        msg = f"the executor {spec.kind!r} can't be loaded"
        raise FileAccessError(msg, where=f"entry point {point.value}", found=str(error), hint="repair it") from error
    executor: Executor = cls(spec)
    return executor


def _find_entry_point(kind: str) -> EntryPoint:
    return EntryPoint(kind, _OURS[kind], EXECUTOR_GROUP) if kind in _OURS else _entry_points()[kind]


def _entry_points() -> dict[str, EntryPoint]:
    """Return the executors of other packages."""
    return {point.name: point for point in entry_points(group=EXECUTOR_GROUP)}
