"""Compute a recorded run again, and compare; the session file stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe import environments
from nwbpipe.errors import InputError, RequestError, UnknownNameError
from nwbpipe.files import is_below, walk_objects
from nwbpipe.processors import Context, Results, processor, validate_params
from nwbpipe.provenance import RunRecord, find_current_record
from nwbpipe.run._pending_run import PendingRun
from nwbpipe.run._prepare import prepare_run
from nwbpipe.session import SessionFile, build_medium_path, list_media


@dataclass(frozen=True)
class Difference:
    """The difference between one dataset of a result and the same computed again.

    Attributes
    ----------
    path : str
        HDF5 path.
    largest : float
        Largest difference, relative to the largest value; infinite where shape, type or text differ.
    tolerance : float
        Largest difference that the processor allows.
    what : str
        The difference in words, where it is not one of numbers.
    """

    path: str
    largest: float
    tolerance: float
    what: str = ""

    @property
    def ok(self) -> bool:
        """True if it is within the tolerance."""
        return self.largest <= self.tolerance


class _ComparisonDoneError(Exception):
    """Ends the transaction, so that nothing is committed."""


def verify_run(
    path: Path | str,
    step: str,
    *,
    timeout: float | None = None,
    threads: int | None = None,
    progress: Callable[[float, str], None] | None = None,
    place: Callable[[str], Path | str] | None = None,
) -> list[Difference]:
    """Compute the current run of a step again, from its record, and compare with its result.

    Parameters
    ----------
    path : path
        The session file; it is not changed.
    step : str
        The step, whose name the results bear.
    timeout : float, optional
        Seconds after which the tool is stopped.
    threads : int, optional
        Threads for the tool; as many as the run had by default, as some tools sum in another order with others.
    progress : callable, optional
        Called with a fraction (0 to 1) and a text.
    place : callable, optional
        Returns where an artefact is on this machine, by its address.

    Returns
    -------
    list of Difference
        One for each dataset of the result.

    Raises
    ------
    UnknownNameError
        If the file has no result of that step.
    RequestError
        If the processor is of another revision now.
    InputError
        If the inputs have other content than recorded.
    """
    session = SessionFile.at(path)
    record = session.read(lambda reader: find_current_record(reader.records, step))
    if record is None:
        msg = f"the file has no result of the step {step!r}"
        raise UnknownNameError(msg, where=str(session), hint="`nwbpipe log FILE.nwb` shows them")
    method = processor(record.processor)
    if method.revision != record.revision:
        msg = f"the method {method.name!r} is of another revision than the result"
        raise RequestError(msg, expected=str(record.revision), found=str(method.revision), hint="run the step again")
    params = validate_params(method, record.parameters)
    paths = {}
    for item in record.inputs:
        paths[item.name] = item.path
        if item.is_artefact:
            if place is None:
                msg = f"the input {item.name!r} is an artefact of a project"
                raise RequestError(msg, where=item.path, hint="name the session by its key, within the project")
            paths[item.name] = str(place(item.path))
    primary = any(output.path == "/units" for output in record.outputs)
    prepared = prepare_run(session, method, Context(step, params, {}, primary=primary), paths)
    for item in record.inputs:
        if prepared.identities[item.name] != item.identity:
            msg = f"the input {item.name!r} has other content than when the result was made"
            raise InputError(msg, where=f"{session}:{item.path}", hint="run the step again")
    job = PendingRun(
        method=method,
        session=session,
        context=prepared.context,
        descriptions=prepared.descriptions,
        seed=record.seed or 0,
        key=f"verify-{record.key}",
        may_replace=True,
        renew=True,
        cascade=True,
    )
    environment = environments.find(method.tool_for(params))
    job.discard()
    try:
        finished = job.compute(environment, threads or _read_threads(record), timeout, progress)
        written = [output.path for output in record.outputs]
        medium = next((build_medium_path(session, name) for name in list_media(record)), "")
        return _compare_results(job, finished.summary, written, method.tolerance, medium)
    finally:
        job.discard()


def _read_threads(record: RunRecord) -> int:
    """Return the threads of a run; all cores where its record does not name them (nwbpipe 0.1)."""
    threads = record.resources.get("threads")
    return threads if isinstance(threads, int) and threads > 0 else os.cpu_count() or 1


def _compare_results(
    job: PendingRun, summary: Any, paths: list[str], tolerance: float, medium: str
) -> list[Difference]:
    differences: list[Difference] = []

    def compare(working: h5py.File) -> None:
        with job.session.open() as reader:
            differences.extend(compare_datasets(reader.file, working, paths, tolerance))
        raise _ComparisonDoneError

    def make_room(file: h5py.File) -> None:
        job.remove_replaced(file, "verification", lambda _: None)  # nothing is committed

    try:
        with (
            h5py.File(job.scratch / "results.h5", "r") as arrays,
            job.session.transaction(before=make_room, check=compare) as nwbfile,
        ):
            job.method.write(nwbfile, Results(arrays, summary), replace(job.context, medium=medium))
    except _ComparisonDoneError:
        pass
    return differences


def compare_datasets(old: h5py.File, new: h5py.File, paths: list[str], tolerance: float) -> list[Difference]:
    """Compare all datasets below paths in two files."""
    first, second = (
        {path: item for path, item in walk_objects(file) if isinstance(item, h5py.Dataset) and is_below(path, paths)}
        for file in (old, new)
    )
    differences = [
        Difference(path, float("inf"), tolerance, "is in one of both only")
        for path in sorted(set(first) ^ set(second))
    ]
    for path in sorted(set(first) & set(second)):
        largest, text = _compare_values(first[path], second[path])
        differences.append(Difference(path, largest, tolerance, text))
    return differences


def _compare_values(old: h5py.Dataset, new: h5py.Dataset) -> tuple[float, str]:
    if old.shape != new.shape:
        return float("inf"), f"shape {old.shape} → {new.shape}"
    a, b = old[()], new[()]
    if h5py.check_ref_dtype(old.dtype) is not None:
        return 0.0, ""  # the objects that they refer to are compared by themselves
    kinds = np.asarray(a).dtype.kind + np.asarray(b).dtype.kind
    if set(kinds) <= set("iufbc"):
        x, y = (np.asarray(value, dtype=complex if "c" in kinds else float) for value in (a, b))
        if not x.size:
            return 0.0, ""
        both = np.isnan(x) & np.isnan(y)
        gap = np.where(both, 0.0, np.abs(x - y))
        scale = float(np.nanmax(np.abs(x))) if not np.isnan(x).all() else 0.0
        worst = float(np.max(gap))
        return (float("inf") if np.isnan(worst) else worst / scale if scale else worst), ""
    same = np.asarray(a).shape == np.asarray(b).shape and np.asarray(a).tobytes() == np.asarray(b).tobytes()
    same = same or bool(np.all(np.asarray(a, dtype=object) == np.asarray(b, dtype=object)))
    return (0.0, "") if same else (float("inf"), "other values")
