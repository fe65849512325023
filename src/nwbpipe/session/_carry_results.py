"""Carry the results of a session over into its new conversion, where their inputs are unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py

from nwbpipe import files
from nwbpipe.errors import NwbpipeError, OverwriteError
from nwbpipe.provenance import (
    REMOVED,
    ObjectRecord,
    RunRecord,
    find_own_identity,
    identify_object,
    read_records,
    seal_records,
    write_objects,
)
from nwbpipe.session._integrity import find_result_faults
from nwbpipe.session._remove import is_irreplaceable
from nwbpipe.session._session_file import SessionFile
from nwbpipe.session._unrecorded import find_unrecorded

_RECORDS = "/general/nwbpipe"
_CONVERT = "convert"


def carry_results(target: SessionFile, building: Path, conversion: RunRecord) -> list[str]:
    """Copy results and all run records from a session file into its new conversion.

    A result is carried over if its inputs are in the new file with the same content, and if what else it links to is
    there. Of the others only the record stays, marked as removed.

    Parameters
    ----------
    target : SessionFile
        The session file as it is. One that changes meanwhile is not replaced by the new conversion.
    building : Path
        The new conversion, not in place yet.
    conversion : RunRecord
        The record of the new conversion.

    Returns
    -------
    list of str
        Steps whose results were carried over.

    Raises
    ------
    OverwriteError
        If the file holds results that can't be computed again nor carried over: they have no record, a person
        gave or changed them, or they were loaded from files elsewhere.
    """
    with (
        target.local_copy() as local,
        h5py.File(local, "r", locking=False) as old,
        files.open_for_writing(building, "r+") as new,
    ):
        records = read_records(old)
        _refuse_unrecorded(target, old, new, records)
        _copy_schemas(old, new)
        carried: list[str] = []
        changed = {
            record.step
            for record in records
            if not record.superseded and record.step != _CONVERT and find_result_faults(old, record)
        }
        for record in records:
            keep = False
            if (
                not record.superseded
                and record.step != _CONVERT
                and _can_carry_over(old, new, record, building.parent)
            ):
                files.carry_over(old, new, [output.path for output in record.outputs])
                carried.append(record.step)
                keep = True
            _copy_record(old, new, record, keep, conversion, record.step not in changed)
        _refuse_loss(target, records, carried, changed)
    return carried


def _refuse_loss(target: SessionFile, records: list[RunRecord], carried: list[str], changed: set[str]) -> None:
    current = [record for record in records if not record.superseded and record.step != _CONVERT]
    lost = [
        record.step
        for record in current
        if record.step not in carried and (is_irreplaceable(record) or record.step in changed)
    ]
    if lost:
        msg = (
            "the file holds a person's labels, results that somebody changed, or loaded results, of other data than "
            "the new conversion has"
        )
        raise OverwriteError(
            msg, where=str(target), found=", ".join(lost),
            hint="remove them (`nwbpipe edit remove`), or convert with --overwrite --discard-results",
        )  # fmt: skip


def _refuse_unrecorded(target: SessionFile, old: h5py.File, new: h5py.File, records: list[RunRecord]) -> None:
    lost = [path for path in find_unrecorded(old, records) if path not in new]
    if lost:
        msg = "the file holds objects or rows that no run record names"
        raise OverwriteError(
            msg, where=str(target), found=", ".join(lost),
            hint="move them to another file, or convert with --overwrite --discard-results",
        )  # fmt: skip


def _can_carry_over(old: h5py.File, new: h5py.File, record: RunRecord, folder: Path) -> bool:
    paths = [output.path for output in record.outputs]
    if not all(path in old and path not in new for path in paths):
        return False
    try:
        # An input without an identity (the ROIs that a person labelled) has to be there as it was: see below.
        # An artefact lies in no session file: the plan compares it.
        inputs = [item for item in record.inputs if item.identity and not item.is_artefact]
        if any(identify_object(new, item.path, folder=folder) != item.identity for item in inputs):
            return False
        outside = files.outside_targets(old, paths)
    except (NwbpipeError, KeyError):
        return False
    return all(path in new and _read_neurodata_type(old, path) == _read_neurodata_type(new, path) for path in outside)


def _read_neurodata_type(file: h5py.File, path: str) -> str:
    return str(file[path].attrs.get("neurodata_type", ""))


def _copy_schemas(old: h5py.File, new: h5py.File) -> None:
    """Copy the schemas of extensions that results use."""
    old_schemas, new_schemas = old.get("specifications", {}), new.get("specifications")
    for name in old_schemas:
        if new_schemas is not None and name not in new_schemas:
            old.copy(old_schemas[name], new_schemas, name=name)


def _copy_record(
    old: h5py.File, new: h5py.File, record: RunRecord, keep: bool, conversion: RunRecord, as_written: bool
) -> None:
    path = f"{_RECORDS}/{record.name}"
    if path in new or path not in old:
        return
    old.copy(path, new[_RECORDS], name=record.name)
    group = new[path]
    if not keep and not record.superseded:
        group.attrs["superseded_by"] = conversion.run_id if record.step == _CONVERT else REMOVED
    if keep:  # the conversion gave its objects new ids
        write_objects(group, "input", [_find_input(new, item) for item in record.inputs])
    if keep and as_written:  # what it links to has new ids, so that its own content counts as another
        outputs = [
            replace(item, identity=find_own_identity(new, item.path).identity) if item.identity else item
            for item in record.outputs
        ]
        write_objects(group, "output", outputs)
        seal_records(new, [record.name])


def _find_input(file: h5py.File, item: ObjectRecord) -> ObjectRecord:
    object_id = "" if item.is_artefact else str(file[item.path].attrs.get("object_id", ""))
    return replace(item, object_id=object_id)
