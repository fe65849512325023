"""Commit a person's decisions on a step's result, bound to the run that made it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nwbpipe.errors import ResultExistsError
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

    Raises
    ------
    ResultExistsError
        If the step has decisions, and `replace` is false.
    """
    name, run_id = check_step_name(name_curation(step)), uuid.uuid4().hex

    def make_room(change: SessionChange) -> list[str]:
        earlier = find_current_record(read_records(change.file), name)
        if earlier is None:
            return []
        if not replace:
            msg = f"the step {step!r} has {already} already"
            raise ResultExistsError(
                msg, where=str(session), found=earlier.parameters.get("who", ""), hint="--replace"
            )
        remove_outputs(change.file, earlier)
        mark_superseded(change.file, name, run_id)
        return [output.path for output in earlier.outputs]

    def build_record(outputs: tuple[ObjectRecord, ...]) -> RunRecord:
        return new_record(
            key=run_key(CURATION, 1, values, None, {"run": run.run_id}),
            run_id=run_id,
            step=name,
            processor=CURATION,
            revision=1,
            tool="person",
            parameters=values,
            inputs=(judged,),
            outputs=outputs,
            started=started,
            sources=sources,
        )

    return retry_after_conflicts(
        lambda: commit_result(
            session, make_room, write, build_record, inputs=[judged.path], lock_timeout=lock_timeout
        )
    )
