"""Remove a run's results from an open file, so that nothing in it dangles."""

from __future__ import annotations

import posixpath
import re

import h5py

from nwbpipe import files
from nwbpipe.errors import ResultExistsError
from nwbpipe.provenance import ObjectRecord, RunRecord, read_records

CURATION = "curation"  # in the place of a processor's name, where a person gave a result
#: Where results are; never a module, or what is raw, or of the file itself.
_RESULTS = re.compile(r"/units|/(intervals|analysis|scratch|processing/[^/]+)/.+")


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
        If what a record names is not what its run wrote, or if something else in the file refers to them; it is
        listed, and nothing was unlinked.
    """
    check_written(file, *records)
    paths = [output.path for record in records for output in record.outputs if output.path in file]
    users = files.find_users(file, paths)
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


def check_written(file: h5py.File, *records: RunRecord) -> None:
    """Refuse runs of which an output is not what the run wrote: a person may have put it there, or it is raw.

    Raises
    ------
    ResultExistsError
        If it lies where no results are, is another object than the record says, or is the conversion's.
    """
    raw = {one.object_id for record in read_records(file) if record.step == "convert" for one in record.outputs}
    for record in records:
        for output in record.outputs:
            if output.path not in file:  # it is gone already
                continue
            if _is_place_of_results(file, output.path) and output.is_in(file) and output.object_id not in raw:
                continue
            msg = f"the object is not a result that the step {record.step!r} wrote"
            raise ResultExistsError(
                msg,
                where=f"{file.filename}:{output.path}",
                expected=_told(output.neurodata_type, output.object_id),
                found=_found(file, output, raw),
                hint="nothing was changed: move or remove the object yourself if it is not needed there",
            )


def _is_place_of_results(file: h5py.File, path: str) -> bool:
    """Whether results lie there, and no link on the way leads elsewhere."""
    if posixpath.normpath(path) != path or not _RESULTS.fullmatch(path):
        return False
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(2, len(parts))]
    return all(isinstance(file.get(one, getlink=True), h5py.HardLink) for one in (*above, path)) and all(
        h5py.h5o.get_info(file[one].id).rc == 1 for one in above
    )


def _found(file: h5py.File, output: ObjectRecord, raw: set[str]) -> str:
    item = file[output.path]
    kind, identity = (str(item.attrs.get(name, "")) for name in ("neurodata_type", "object_id"))
    told = _told(kind, identity)
    if identity in raw:
        return f"{told}, from the conversion"
    return told if _is_place_of_results(file, output.path) else f"{told}, at a place where no results are"


def _told(kind: str, identity: str) -> str:
    return f"{kind or 'an object'} with {f'the object id {identity}' if identity else 'no object id'}"


def is_irreplaceable(record: RunRecord) -> bool:
    """Whether no run can make a result again: a person gave it, or it was loaded from files elsewhere."""
    return record.processor == CURATION or bool(record.parameters.get("loaded"))


def find_dependents(
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
        users = files.find_users(file, [path for path in paths if path in file])
        for other in records:
            if other.superseded or other.run_id == record.run_id or other in found:
                continue
            own = [output.path for output in other.outputs]
            reads = [] if links_only else [item.path for item in other.inputs]
            if any(files.is_below(user, own) for user in users) or any(files.is_below(path, paths) for path in reads):
                found.append(other)
                pending.append(other)
    return found
