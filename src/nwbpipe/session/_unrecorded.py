"""Find the objects of a session file that no run record names: somebody added them by hand."""

from __future__ import annotations

from collections.abc import Iterator

import h5py

from nwbpipe.provenance import RunRecord, find_current_record

_OF_SPEC = ("/general/nwbpipe", "/general/subject", "/general/session_details")


def find_unrecorded(file: h5py.File, records: list[RunRecord]) -> list[str]:
    """Return the paths of the outermost objects that neither a conversion nor a processor wrote.

    Parameters
    ----------
    file : h5py.File
        An open session file.
    records : list of RunRecord
        All of its run records.

    Returns
    -------
    list of str
        HDF5 paths. Objects below a recorded object, and columns of a recorded table, are not looked at.
    """
    recorded = {output.object_id for record in records for output in record.outputs}  # a path may be another's by now
    conversion = find_current_record(records, "convert")
    devices = conversion.parameters.get("devices", {}) if conversion is not None else {}
    of_spec = {*_OF_SPEC, *(f"/general/devices/{name}" for name in devices)}
    return [
        path for path, identifier in _outermost_objects(file) if identifier not in recorded and path not in of_spec
    ]


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
