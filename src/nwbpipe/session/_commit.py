"""Commit a result and its record to a session file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from nwbpipe.provenance import ObjectRecord, RunRecord, add_record
from nwbpipe.session import _file as session_file
from nwbpipe.session._identity_carryover import IdentityCarryover
from nwbpipe.session._outputs import find_new_outputs, list_object_ids
from nwbpipe.session._validation import check_valid

if TYPE_CHECKING:
    from pynwb import NWBFile


def commit_result(
    session: Path | str,
    make_room: Callable[[h5py.File], list[str]],
    write: Callable[[NWBFile], None],
    record_of: Callable[[tuple[ObjectRecord, ...]], RunRecord],
    *,
    lock_timeout: float,
    unsafe_no_cas: bool = False,
) -> RunRecord:
    """Write a result and its record in one transaction, and keep what is known of the rest of the file.

    Parameters
    ----------
    session : path
        The session file, or its address.
    make_room : callable
        Takes away what the result replaces, and returns its paths; raising leaves the file as it was.
    write : callable
        Adds the containers of the result.
    record_of : callable
        Returns the record, told what was added.
    lock_timeout, unsafe_no_cas
        See `nwbpipe.session._file.transaction`.
    """
    known = IdentityCarryover(session)
    changed: list[str] = []

    def prepare(file: h5py.File) -> None:
        known.record_state()
        changed.extend(make_room(file))

    with session_file.transaction(
        session,
        lock_timeout=lock_timeout,
        before=prepare,
        check=lambda working: check_valid(working, session),
        committed=lambda: known.carry_over(changed),
        unsafe_no_cas=unsafe_no_cas,
    ) as nwbfile:
        there = list_object_ids(nwbfile)
        write(nwbfile)
        record = record_of(find_new_outputs(nwbfile, there))
        changed.extend(output.path for output in record.outputs)
        add_record(nwbfile, record)
    return record
