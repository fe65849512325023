"""Commit a person's decisions on a step's result, bound to the run that made it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nwbpipe.errors import InputError, ResultExistsError
from nwbpipe.provenance import (
    ObjectRecord,
    RunRecord,
    check_step_name,
    find_current_record,
    mark_superseded,
    new_record,
    read_records,
    run_key,
)
from nwbpipe.session import (
    CURATION,
    SessionChange,
    SessionFile,
    commit_result,
    remove_outputs,
    retry_after_conflicts,
)

if TYPE_CHECKING:
    from pynwb import NWBFile

_SUFFIX = "_curation"


def name_curation(step: str) -> str:
    """Return the step name of the decisions on a step's result."""
    return step + _SUFFIX


def describe_state(run: RunRecord, curation: RunRecord | None) -> str:
    """Return what a person looks at who labels a step's result: the run, and the labels that it has."""
    return f"{run.run_id}:{curation.run_id if curation is not None else ''}"


def commit_curation(
    session: SessionFile,
    step: str,
    run: RunRecord,
    judged: ObjectRecord,
    write: Callable[[NWBFile], None],
    *,
    values: Mapping[str, Any],
    sources: tuple[dict[str, Any], ...],
    started: datetime,
    already: str,
    replace: bool,
    lock_timeout: float,
    seen: str | None = None,
) -> RunRecord:
    """Write decisions and their record in one transaction.

    Parameters
    ----------
    session : SessionFile
    step : str
        The step whose result was judged.
    run : RunRecord
        Its run.
    judged : ObjectRecord
        What was judged: the input of the record.
    write : callable
        Adds the decisions to the file.
    values : mapping
        The decisions as plain JSON, with ``who``.
    sources : tuple of dict
        Path, size and hash of the file that they were read from.
    started : datetime
    already : str
        What the step has already if it has decisions: ``labels``.
    replace : bool
        Replace earlier decisions.
    lock_timeout : float
    seen : str, optional
        See `describe_state`.

    Raises
    ------
    ResultExistsError
        If the step has decisions, and `replace` is false.
    InputError
        If the state of the step is not the one that was seen.
    """
    record, _ = commit_given(
        session,
        name_curation(step),
        (judged,),
        write,
        key_inputs={"run": run.run_id},
        values=values,
        sources=sources,
        started=started,
        already=already,
        replace=replace,
        lock_timeout=lock_timeout,
        of=step,
        seen=seen,
    )
    return record


def commit_given(
    session: SessionFile,
    name: str,
    inputs: tuple[ObjectRecord, ...],
    write: Callable[[NWBFile], None],
    *,
    key_inputs: Mapping[str, str],
    values: Mapping[str, Any],
    sources: tuple[dict[str, Any], ...],
    started: datetime,
    already: str,
    replace: bool,
    lock_timeout: float,
    of: str | None = None,
    seen: str | None = None,
) -> tuple[RunRecord, bool]:
    """Write what a person gave and its record in one transaction; return the record, and False if it was there.

    Parameters
    ----------
    session : SessionFile
    name : str
        Name of the step.
    inputs : tuple of ObjectRecord
        What it is about.
    write : callable
        Adds it to the file.
    key_inputs : mapping of str to str
        What the record's key is made of beside `values`.
    values : mapping
        What was given as plain JSON, with ``who``.
    sources : tuple of dict
        Path, size and hash of the files that it was read from.
    started : datetime
    already : str
        What the step has already if it was given before: ``labels``.
    replace : bool
    lock_timeout : float
    of : str, optional
        The step that was judged: decisions on it are always written anew.
    seen : str, optional
        The state of that step, if it must not have changed: see `describe_state`.

    Raises
    ------
    ResultExistsError
        If there is an earlier one, and `replace` is false.
    """
    name, run_id = check_step_name(name), uuid.uuid4().hex
    key = run_key(CURATION, 1, values, None, key_inputs)
    if of is None:
        current = session.read(lambda reader: reader.find_result(name))
        if current is not None and current.key == key:
            return current, False

    def make_room(change: SessionChange) -> list[str]:
        records = read_records(change.file)
        earlier = find_current_record(records, name)
        if seen is not None:
            now = find_current_record(records, of or name)
            if now is None or describe_state(now, earlier) != seen:
                msg = f"the step {of or name!r} or its labels have changed since they were shown"
                raise InputError(msg, where=str(session), hint="look at them again; nothing was written")
        if earlier is None:
            return []
        if earlier.processor != CURATION:
            msg = f"the step {name!r} has a result of the processor {earlier.processor!r}"
            raise ResultExistsError(msg, where=str(session), hint="choose another name")
        if not replace:
            msg = f"the step {of or name!r} has {already} already"
            raise ResultExistsError(
                msg, where=str(session), found=earlier.parameters.get("who", ""), hint="--replace"
            )
        remove_outputs(change.file, earlier)
        mark_superseded(change.file, name, run_id)
        return [output.path for output in earlier.outputs]

    def build_record(outputs: tuple[ObjectRecord, ...]) -> RunRecord:
        return new_record(
            key=key,
            run_id=run_id,
            step=name,
            processor=CURATION,
            revision=1,
            tool="person",
            parameters=values,
            inputs=inputs,
            outputs=outputs,
            started=started,
            sources=sources,
        )

    record = retry_after_conflicts(
        lambda: commit_result(
            session,
            make_room,
            write,
            build_record,
            inputs=[item.path for item in inputs],
            lock_timeout=lock_timeout,
        )
    )
    return record, True
