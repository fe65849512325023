"""Commit a result and its record to a session file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from nwbpipe.errors import ResultExistsError
from nwbpipe.provenance import (
    LOCATION,
    IdentityResult,
    ObjectRecord,
    RunRecord,
    find_own_identity,
    own_name,
    write_record,
)
from nwbpipe.session._outputs import find_new_outputs, list_object_ids
from nwbpipe.session._reader import open_nwb
from nwbpipe.session._session_file import SessionChange, SessionFile
from nwbpipe.session._unneeded import find_unneeded_results
from nwbpipe.session._validation import check_valid

if TYPE_CHECKING:
    from pynwb import NWBFile


def commit_result(
    session: SessionFile,
    make_room: Callable[[SessionChange], list[str]],
    write: Callable[[NWBFile], None],
    build_record: Callable[[tuple[ObjectRecord, ...]], RunRecord],
    *,
    inputs: Collection[str],
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
    inputs : collection of str
        Paths of the objects that the result was made from. In a file with many results, `write` finds of these only
        those that the inputs are in or lead to.
    lock_timeout, unsafe_no_cas
        See `nwbpipe.transaction`.
    """
    changed: list[str] = []
    written: dict[str, IdentityResult] = {}
    old_paths: set[str] = set()
    with session.change(
        lock_timeout=lock_timeout,
        check=lambda working: check_valid(working, session, old_paths),
        committed=lambda: session.keep_identities(change, changed, written),
        unsafe_no_cas=unsafe_no_cas,
        unlinks=False,
    ) as change:
        changed += make_room(change)
        unneeded = find_unneeded_results(change.file, inputs)
        old_version = change.file.attrs["nwb_version"]
        # HDF5 says only when pynwb writes that an object which was not read has the name.
        with _explain_taken_name(session), open_nwb(change.file, "a", without={LOCATION, *unneeded}) as nwbfile:
            old_paths |= {*unneeded, *(f"{LOCATION}/{name}" for name in change.file.get(LOCATION, {}))}
            old_ids = list_object_ids(nwbfile)
            write(nwbfile)
            outputs = find_new_outputs(nwbfile, old_ids)
        if change.file.attrs["nwb_version"] != old_version:  # pynwb raised it: each object has to be valid by it
            old_paths.clear()
        changed += [output.path for output in outputs]
        identities = {output.path: find_own_identity(change.file, output.path) for output in outputs}
        written |= {own_name(path): identity for path, identity in identities.items()}
        record = build_record(tuple(replace(o, identity=identities[o.path].identity) for o in outputs))
        write_record(change.file, record)
    return record


@contextmanager
def _explain_taken_name(session: SessionFile) -> Iterator[None]:
    """Say in our words that an object with the name of a result is in the file: somebody may have put it there."""
    try:
        yield
    except ValueError as error:
        if "already exists" not in str(error):
            raise
        raise ResultExistsError(
            "the file has an object with the name of a result already",
            where=str(session),
            found=str(error),
            hint="choose another name (--step NAME), or remove or rename the object; nothing was changed",
        ) from error
