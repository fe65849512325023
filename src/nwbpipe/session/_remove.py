"""Remove a run's results from an open file, so that nothing in it dangles."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Sequence

import h5py

from nwbpipe import files
from nwbpipe.errors import ResultExistsError
from nwbpipe.provenance import ObjectRecord, RunRecord, read_current_record
from nwbpipe.session._integrity import Identify, explain_changed_result, find_result_faults

CURATION = "curation"  # instead of a processor's name, where a person gave a result
#: Paths of results; never a module, raw data, or a part of the file itself.
_RESULTS = re.compile(r"/units|/(intervals|analysis|scratch|processing/[^/]+)/.+")


def remove_outputs(
    file: h5py.File, *records: RunRecord, force: Collection[str] = (), identify: Identify | None = None
) -> None:
    """Unlink the outputs of runs, and the modules that this leaves empty.

    Parameters
    ----------
    file : h5py.File
        Open for writing, within a transaction.
    *records : RunRecord
        The runs, all at once.
    force : collection of str
        Steps whose results may go even if somebody changed them.
    identify : callable, optional
        See `find_result_faults`.

    Raises
    ------
    ChangedResultError
        If another program or a person changed a result.
    ResultExistsError
        If a record names an object that its run did not write, or if other objects refer to the outputs; they are
        listed, and nothing was unlinked.
    """
    check_written(file, *records)
    for record in records:
        if record.step in force:
            continue
        faults = [fault for fault in find_result_faults(file, record, identify) if fault.verified]
        if faults:
            raise explain_changed_result(record.step, faults, file.filename)
    paths = [output.path for record in records for output in record.outputs if output.path in file]
    users = files.find_users(file, paths)
    if users:
        named = " and ".join(repr(record.step) for record in records)
        msg = f"other objects in the file refer to the results of the step {named}"
        raise ResultExistsError(
            msg, where=file.filename, found=", ".join(users), hint="remove those first: nothing may dangle"
        )
    for path in paths:
        if path not in file:  # it lay below another
            continue
        parent = file[path].parent
        files.unlink(file, path)
        if parent.parent.name == "/processing" and not len(parent):
            del file[parent.name]


def check_written(file: h5py.File, *records: RunRecord) -> None:
    """Refuse runs that name an object that they did not write: a person may have put it there, or it is raw.

    Raises
    ------
    ResultExistsError
        If the object lies outside of the results, has another id than the record says, or is the conversion's.
    """
    conversion = read_current_record(file, "convert")
    raw = {item.object_id for item in conversion.outputs} if conversion else set()
    for record in records:
        for output in record.outputs:
            if output.path not in file:  # removed already
                continue
            if _is_result_path(file, output.path) and output.is_in(file) and output.object_id not in raw:
                continue
            msg = f"the object is not a result that the step {record.step!r} wrote"
            raise ResultExistsError(
                msg,
                where=f"{file.filename}:{output.path}",
                expected=_describe(output.neurodata_type, output.object_id),
                found=_describe_object(file, output, raw),
                hint="nothing was changed: move or remove the object yourself if it is not needed there",
            )


def _is_result_path(file: h5py.File, path: str) -> bool:
    """Return True if a path is one of results, and no link on its way leads elsewhere."""
    if posixpath.normpath(path) != path or not _RESULTS.fullmatch(path):
        return False
    parts = path.split("/")
    parents = ["/".join(parts[:count]) for count in range(2, len(parts))]
    return all(isinstance(file.get(name, getlink=True), h5py.HardLink) for name in (*parents, path)) and all(
        h5py.h5o.get_info(file[name].id).rc == 1 for name in parents
    )


def _describe_object(file: h5py.File, output: ObjectRecord, raw: set[str]) -> str:
    item = file[output.path]
    kind, object_id = (str(item.attrs.get(name, "")) for name in ("neurodata_type", "object_id"))
    text = _describe(kind, object_id)
    if object_id in raw:
        return f"{text}, from the conversion"
    return text if _is_result_path(file, output.path) else f"{text}, at a place where no results are"


def _describe(kind: str, object_id: str) -> str:
    return f"{kind or 'an object'} with {f'the object id {object_id}' if object_id else 'no object id'}"


def is_irreplaceable(record: RunRecord) -> bool:
    """Return True if no run can compute a result again: a person gave it, or it was loaded from files elsewhere."""
    return record.processor == CURATION or bool(record.parameters.get("loaded"))


def find_dependents(
    file: h5py.File, record: RunRecord, records: Sequence[RunRecord], *, links_only: bool = False
) -> list[RunRecord]:
    """Return the current runs whose results link into those of `record`, or were made from them, and so on.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    record : RunRecord
        The run.
    records : sequence of RunRecord
        All records of the file.
    links_only : bool
        Only those whose results link into it: without them nothing dangles.
    """
    dependents: list[RunRecord] = []
    pending = [record]
    while pending:
        paths = [output.path for output in pending.pop().outputs]
        users = files.find_users(file, [path for path in paths if path in file])
        for candidate in records:
            if candidate.superseded or candidate.run_id == record.run_id or candidate in dependents:
                continue
            outputs = [output.path for output in candidate.outputs]
            inputs = [] if links_only else [item.path for item in candidate.inputs]
            links = any(files.is_below(user, outputs) for user in users)
            if links or any(files.is_below(path, paths) for path in inputs):
                dependents.append(candidate)
                pending.append(candidate)
    return dependents
