"""Find the objects and rows of a session file that no run wrote: somebody added them by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import h5py

from nwbpipe.errors import ResultExistsError
from nwbpipe.provenance import RunRecord, find_current_record
from nwbpipe.session._content import list_nwb_objects

ROWS = "rows"  # entry of the conversion record's resources: the rows of each table that it wrote
_OF_SPEC = ("/general/nwbpipe", "/general/subject", "/general/nwbpipe_session")


def find_unrecorded(file: h5py.File, records: list[RunRecord]) -> list[str]:
    """Return the paths of the outermost objects, and of rows, that neither a conversion nor a processor wrote.

    Parameters
    ----------
    file : h5py.File
        An open session file.
    records : list of RunRecord
        All of its run records.

    Returns
    -------
    list of str
        HDF5 paths; with a slice for rows that a person added to a table of the conversion, as in
        ``/intervals/trials[40:42]``. Objects below a recorded object, and columns of a recorded table, are not looked
        at.
    """
    recorded = {output.object_id for record in records for output in record.outputs}  # a path may be another's by now
    conversion = find_current_record(records, "convert")
    devices = conversion.parameters.get("devices", {}) if conversion is not None else {}
    of_spec = {*_OF_SPEC, *(f"/general/devices/{name}" for name in devices)}
    paths = [
        path for path, identifier in _outermost_objects(file) if identifier not in recorded and path not in of_spec
    ]
    return [*paths, *(_find_added_rows(file, conversion) if conversion is not None else ())]


def count_rows(file: h5py.File) -> dict[str, int]:
    """Return the number of rows of each table in a file, by path."""
    tables = [item.path for item in list_nwb_objects(file) if "DynamicTable" in item.lineage]
    return {path: len(file[path]["id"]) for path in tables if "id" in file[path]}


def _find_added_rows(file: h5py.File, conversion: RunRecord) -> Iterator[str]:
    counts = conversion.resources.get(ROWS)  # nwbpipe 0.1 did not keep it
    for path, count in counts.items() if isinstance(counts, dict) else ():
        identifiers = file.get(f"{path}/id")
        if isinstance(count, int) and isinstance(identifiers, h5py.Dataset) and identifiers.ndim == 1:
            rows = len(identifiers)
            if rows > count:
                yield f"{path}[{count}:{rows}]"


def find_taken_names(paths: Iterable[str], current: RunRecord | None) -> list[str]:
    """Return the objects that have the names of a step's results, and that its current run didn't write.

    Parameters
    ----------
    paths : iterable of str
        Paths of the objects that have these names (`Processor.may_write`).
    current : RunRecord or None
        Current record of the step.
    """
    owned = {output.path for output in current.outputs} if current else set()
    return [path for path in paths if path not in owned]


def explain_taken_names(step: str, taken: Sequence[str], where: str) -> ResultExistsError:
    """Return the error for objects in the place of results that a step is to write."""
    msg = f"objects that no current run wrote have the names of results of the step {step!r}"
    hint = "choose another name (--step NAME), or remove or rename the object"
    return ResultExistsError(msg, where=where, found=", ".join(taken), hint=hint)


def _outermost_objects(group: h5py.Group) -> Iterator[tuple[str, str]]:
    """Iterate over path and id of the outermost objects below a group, those of processing modules singly."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        item = group[name]
        kind = _decode(item.attrs.get("neurodata_type"))
        if kind in ("", "ProcessingModule"):
            if isinstance(item, h5py.Group):
                yield from _outermost_objects(item)
        elif kind != "DeviceModel":  # without a device it means nothing
            yield item.name, _decode(item.attrs.get("object_id"))


def _decode(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
