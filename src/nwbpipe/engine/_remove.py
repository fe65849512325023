"""Remove a run's results from an open file, so that nothing in it dangles."""

from __future__ import annotations

import h5py

from nwbpipe import files
from nwbpipe.errors import ResultExistsError
from nwbpipe.provenance import RunRecord

CURATION = "curation"  # in the place of a processor's name, where a person gave a result


def remove_outputs(file: h5py.File, *records: RunRecord) -> None:
    """Unlink the outputs of runs, and the modules that this leaves empty.

    Parameters
    ----------
    file : h5py.File
        Open for writing, within a transaction.
    *records : RunRecord
        Whose outputs go, all at once.

    Raises
    ------
    ResultExistsError
        If something else in the file refers to them; it is listed, and nothing was unlinked.
    """
    paths = [output.path for record in records for output in record.outputs if output.path in file]
    users = files.users(file, paths)
    if users:
        named = " and ".join(repr(record.step) for record in records)
        msg = f"other objects in the file refer to the results of the step {named}"
        raise ResultExistsError(
            msg, where=file.filename, found=", ".join(users), hint="remove those first: nothing may dangle"
        )
    for path in paths:
        if path not in file:  # it went with another
            continue
        parent = file[path].parent
        del file[path]
        if parent.parent.name == "/processing" and not len(parent):
            del file[parent.name]


def irreplaceable(record: RunRecord) -> bool:
    """Whether no run can make a result again: a person gave it, or it was loaded from files elsewhere."""
    return record.processor == CURATION or bool(record.parameters.get("loaded"))


def dependents(
    file: h5py.File, record: RunRecord, records: list[RunRecord], *, links_only: bool = False
) -> list[RunRecord]:
    """Return the current runs whose results link into those of `record`, or were made from them, and so on.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    record : RunRecord
        The run.
    records : list of RunRecord
        All of the file's.
    links_only : bool
        Only those whose results link into it: without them nothing dangles.
    """
    found: list[RunRecord] = []
    pending = [record]
    while pending:
        one = pending.pop()
        paths = [output.path for output in one.outputs]
        users = files.users(file, [path for path in paths if path in file])
        for other in records:
            if other.superseded or other.run_id == record.run_id or other in found:
                continue
            own = [output.path for output in other.outputs]
            reads = [] if links_only else [item.path for item in other.inputs]
            if any(files.below(user, own) for user in users) or any(files.below(path, paths) for path in reads):
                found.append(other)
                pending.append(other)
    return found
