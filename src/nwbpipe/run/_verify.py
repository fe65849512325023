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
from nwbpipe import session as session_file
from nwbpipe.errors import InputError, RequestError, UnknownNameError
from nwbpipe.files import is_below, walk_objects
from nwbpipe.processors import Context, Results, processor, validate_params
from nwbpipe.provenance import IdentityCache, find_current_record, read_records
from nwbpipe.run._bind import bind, identify_input
from nwbpipe.run._pending_run import PendingRun


@dataclass(frozen=True)
class Difference:
    """How one dataset of a result compares with what was computed again.

    Attributes
    ----------
    path : str
        HDF5 path.
    largest : float
        Largest difference, relative to the largest value; infinite where shape, type or text differ.
    tolerance : float
        What the processor allows.
    what : str
        What differs, where it is no number.
    """

    path: str
    largest: float
    tolerance: float
    what: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is within the tolerance."""
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
        Name that the results carry.
    timeout : float, optional
        Seconds after which the tool is stopped.
    threads : int, optional
        Threads for the tool; all cores by default.
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
    session = session_file.check_readable(path)
    record = find_current_record(read_records(session), step)
    if record is None:
        msg = f"the file has no result of the step {step!r}"
        raise UnknownNameError(msg, where=str(session), hint="`nwbpipe log FILE.nwb` shows them")
    method = processor(record.processor)
    if method.revision != record.revision:
        msg = f"the method {method.name!r} is of another revision than the result"
        raise RequestError(msg, expected=str(record.revision), found=str(method.revision), hint="run the step again")
    params = validate_params(method, record.parameters)
    paths = {one.name: one.path for one in record.inputs}
    for one in record.inputs:
        if one.is_artefact:
            if place is None:
                msg = f"the input {one.name!r} is an artefact of a project"
                raise RequestError(msg, where=one.path, hint="name the session by its key, within the project")
            paths[one.name] = str(place(one.path))
    with session_file.open_hdf5(session) as file:
        inputs = bind(file, method, paths, [output.path for output in record.outputs])
    cache = IdentityCache()
    for one in record.inputs:
        if identify_input(session, inputs[one.name], cache) != one.identity:
            msg = f"the input {one.name!r} has other content than when the result was made"
            raise InputError(msg, where=f"{session}:{one.path}", hint="run the step again")
        inputs[one.name] = replace(inputs[one.name], identity=one.identity)
    primary = any(output.path == "/units" for output in record.outputs)
    context = Context(step, params, inputs, primary=primary)
    with session_file.read(session) as nwbfile:
        context = replace(context, facts=method.prepare(nwbfile, context))
    job = PendingRun(
        method, session, context, record.seed or 0, f"verify-{record.key}", may_replace=True, renew=True, cascade=True
    )
    environment = environments.find(method.tool_for(params))
    job.discard()
    try:
        finished = job.compute(environment, threads or os.cpu_count() or 1, timeout, progress)
        return _compare_results(job, finished.summary, [output.path for output in record.outputs], method.tolerance)
    finally:
        job.discard()


def _compare_results(job: PendingRun, summary: Any, paths: list[str], tolerance: float) -> list[Difference]:
    found: list[Difference] = []

    def compare(working: h5py.File) -> None:
        with session_file.open_hdf5(job.session) as original:
            found.extend(compare_datasets(original, working, paths, tolerance))
        raise _ComparisonDoneError

    def make_room(file: h5py.File) -> None:
        job.remove_replaced(file, "verification")

    try:
        with (
            h5py.File(job.scratch / "results.h5", "r") as arrays,
            session_file.transaction(job.session, before=make_room, check=compare) as nwbfile,
        ):
            job.method.write(nwbfile, Results(arrays, summary), job.context)
    except _ComparisonDoneError:
        pass
    return found


def compare_datasets(one: h5py.File, other: h5py.File, paths: list[str], tolerance: float) -> list[Difference]:
    """Compare what lies below paths in two files, dataset by dataset."""
    first, second = (
        {path: item for path, item in walk_objects(file) if isinstance(item, h5py.Dataset) and is_below(path, paths)}
        for file in (one, other)
    )
    made = [
        Difference(path, float("inf"), tolerance, "is in one of both only")
        for path in sorted(set(first) ^ set(second))
    ]
    for path in sorted(set(first) & set(second)):
        largest, what = _compare_values(first[path], second[path])
        made.append(Difference(path, largest, tolerance, what))
    return made


def _compare_values(one: h5py.Dataset, other: h5py.Dataset) -> tuple[float, str]:
    if one.shape != other.shape:
        return float("inf"), f"shape {one.shape} → {other.shape}"
    a, b = one[()], other[()]
    if h5py.check_ref_dtype(one.dtype) is not None:
        return 0.0, ""  # what they lead to is compared by itself
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
