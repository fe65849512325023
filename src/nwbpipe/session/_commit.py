"""Commit a result and its record to a session file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nwbpipe.provenance import ObjectRecord, RunRecord, add_record
from nwbpipe.session._outputs import find_new_outputs, list_object_ids
from nwbpipe.session._reader import open_nwb
from nwbpipe.session._session_file import SessionChange, SessionFile
from nwbpipe.session._validation import check_valid

if TYPE_CHECKING:
    from pynwb import NWBFile


def commit_result(
    session: SessionFile,
    make_room: Callable[[SessionChange], list[str]],
    write: Callable[[NWBFile], None],
    build_record: Callable[[tuple[ObjectRecord, ...]], RunRecord],
    *,
    lock_timeout: float,
    unsafe_no_cas: bool = False,
) -> RunRecord:
    """Write a result and its record in one transaction, and keep the cached identities of the rest of the file.

    Parameters
    ----------
    session : SessionFile
        The session file.
    make_room : callable
        Removes what the result replaces, and returns the paths; raising leaves the file as it was.
    write : callable
        Adds the containers of the result.
    build_record : callable
        Takes the containers that were added, and returns the record.
    lock_timeout, unsafe_no_cas
        See `nwbpipe.transaction`.
    """
    changed: list[str] = []
    with session.change(
        lock_timeout=lock_timeout,
        check=lambda working: check_valid(working, session),
        committed=lambda: session.keep_identities(change, changed),
        unsafe_no_cas=unsafe_no_cas,
    ) as change:
        changed += make_room(change)
        with open_nwb(change.file, "a") as nwbfile:
            old_ids = list_object_ids(nwbfile)
            write(nwbfile)
            record = build_record(find_new_outputs(nwbfile, old_ids))
            changed += [output.path for output in record.outputs]
            add_record(nwbfile, record)
    return record
