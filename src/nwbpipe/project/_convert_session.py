"""Convert a session of a project: build its file, edit its metadata, or rebuild it around its results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbpipe.errors import ConflictError, InputError, OverwriteError
from nwbpipe.provenance import RunRecord, find_current_record
from nwbpipe.session import SessionFile, carry_results, check_valid, read_records, retry_after_conflicts

if TYPE_CHECKING:
    from nwbpipe.project._sessions import Session
    from nwbpipe.project.plan import Planner
    from nwbpipe.project.plan._conversion import ConversionState


def convert_session(planner: Planner, session: Session, *, lock_timeout: float = 60.0) -> tuple[RunRecord, bool]:
    """Bring the file of a session up to date with its spec and raw files.

    Returns
    -------
    RunRecord
        The record of the conversion.
    bool
        False if there was nothing to do.

    Raises
    ------
    InputError
        The session can't be converted; `found` is the reason of the plan.
    """
    from nwbpipe.project.plan._planner import ALL

    conversion = planner.evaluate(session, {}, limit=ALL).conversion
    assert conversion is not None
    try:
        _bring_up_to_date(planner, session, conversion, lock_timeout)
    except (OverwriteError, ConflictError):  # another runner came first: did it write the same?
        conversion = planner.evaluate(session, {}, limit=ALL).conversion
        if conversion is None or conversion.state != "done":
            raise
    record = find_current_record(read_records(session.file), "convert")
    assert record is not None
    return record, conversion.state != "done"


def _bring_up_to_date(planner: Planner, session: Session, conversion: ConversionState, lock_timeout: float) -> None:
    from nwbpipe.converters import convert, update_metadata  # hdmf and pandas come with them

    assert session.spec is not None
    options: dict[str, Any] = {
        "progress": False, "raw_identity": planner.project.raw_identity, "stores": planner.project.open_stores
    }  # fmt: skip
    if conversion.state == "missing":
        if isinstance(session.file, Path):
            session.file.parent.mkdir(parents=True, exist_ok=True)
        convert(session.spec, session.file, **options)
    elif conversion.state == "stale" and conversion.rebuild:
        convert(
            session.spec,
            session.file,
            overwrite=True,
            carry=lambda building, record: carry_results(SessionFile.at(session.file), building, record),
            **options,
        )
    elif conversion.state == "stale":
        spec = planner.specs.read(session)
        assert spec is not None
        parameters = spec.parameters
        retry_after_conflicts(
            lambda: update_metadata(
                session.file,
                parameters,
                lock_timeout=lock_timeout,
                check=lambda working: check_valid(working, SessionFile.at(session.file)),
            )
        )
    elif conversion.state != "done":
        msg = "the session can't be converted"
        raise InputError(msg, where=str(session.spec), found=conversion.reason)
