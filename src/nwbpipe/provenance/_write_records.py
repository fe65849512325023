"""Write run records, and mark those that are superseded."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Literal

import h5py
import numpy as np

from nwbpipe.errors import InvalidResultError
from nwbpipe.files import read_texts, unlink
from nwbpipe.provenance._canonical import canonical_json
from nwbpipe.provenance._records import (
    LOCATION,
    OBJECT_FIELDS,
    REMOVED,
    SAME_PACKAGES,
    TEXT_FIELDS,
    ObjectRecord,
    RunRecord,
    format_time,
    has_columns,
    has_run,
    has_text,
    iter_run_groups,
    read_records,
)
from nwbpipe.provenance._seal import compute_record_digest

_LONG = 256  # bytes of a list of packages, above which a record refers to an equal one
_ATTRIBUTES = 40  # of a record's group, in its header; it has 22
_NAMESPACE = "ndx-nwbpipe"


def get_record_container(nwbfile: Any) -> Any:
    """Return the container of the records in an NWB file that is open for writing; create it if it is missing."""
    from nwbpipe.extensions import Provenance

    container = nwbfile.lab_meta_data.get("nwbpipe")
    if container is None:
        container = Provenance()
        nwbfile.add_lab_meta_data(container)
    elif not isinstance(container, Provenance):
        raise InvalidResultError(
            "the file's run records were read without nwbpipe's own classes",
            where=LOCATION,
            expected="nwbpipe.extensions imported before the file was opened",
            found=type(container).__qualname__,
            hint="open the file with nwbpipe.transaction",
        )
    return container


def add_record(nwbfile: Any, record: RunRecord) -> None:
    """Add a run record to an NWB file that is open for writing; older records stay as they are.

    Parameters
    ----------
    nwbfile : pynwb.NWBFile
        Read by pynwb with `nwbpipe.extensions` imported before (mode "a" or "r+"), or new.
    record : RunRecord
        The record; its container is created if it is missing.

    Raises
    ------
    InvalidResultError
        The file has a record of that name already, or a time has no time zone.
    """
    from nwbpipe.extensions import ProcessingRun

    container = get_record_container(nwbfile)
    if record.name in container.processing_runs:
        raise InvalidResultError("the file has a run record of this name already", where=f"{LOCATION}/{record.name}")
    attributes, texts = _list_values(record)
    container.add_processing_run(ProcessingRun(name=record.name, **attributes, **texts))


def write_record(file: h5py.File, record: RunRecord) -> None:
    """Write a run record to an open file; as `add_record` does, but pynwb need not have read the earlier ones.

    Parameters
    ----------
    file : h5py.File
        Open for writing, with the schema of ndx-nwbpipe in it.
    record : RunRecord
        The record; its container is created if it is missing.

    Raises
    ------
    InvalidResultError
        The file has a record of that name already, or a time has no time zone.
    """
    if LOCATION not in file:
        _write_type(file.create_group(LOCATION), "Provenance")
    container = file[LOCATION]
    if record.name in container:
        raise InvalidResultError("the file has a run record of this name already", where=f"{LOCATION}/{record.name}")
    attributes, texts = _list_values(record)
    if len(texts["packages"]) > _LONG and (earlier := _find_same_packages(file, texts["packages"])):
        texts["packages"] = canonical_json({SAME_PACKAGES: earlier})
    group = _create_group(container, record.name)
    _write_type(group, "ProcessingRun")
    group.attrs.update(attributes)
    for name, text in texts.items():
        write_text(group, name, text)


def write_objects(group: h5py.Group, kind: Literal["input", "output"], objects: Collection[ObjectRecord]) -> None:
    """Write the inputs or outputs of a record anew, as it has them: as JSON text, or a dataset for each field."""
    if has_columns(group, kind):
        for name in OBJECT_FIELDS:
            group[f"{kind}_{name}"][...] = [getattr(item, name) for item in objects]
    elif objects:
        write_text(group, f"{kind}s", _format_objects(objects))


def write_text(group: h5py.Group, name: str, text: str) -> None:
    """Write a dataset of one ASCII text of fixed length, which takes no heap; or replace it."""
    if name in group:
        unlink(group, name)  # a reader without a lock may read it
    value = np.array(text.encode("ascii"), dtype=h5py.string_dtype("utf-8", len(text)))
    group.create_dataset(name, data=value)


def _create_group(parent: h5py.Group, name: str) -> h5py.Group:
    """Create a group that keeps its links and attributes in its header (HDF5 1.8): a third of the bytes."""
    properties = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    properties.set_obj_track_times(False)
    properties.set_link_creation_order(h5py.h5p.CRT_ORDER_TRACKED)
    properties.set_attr_creation_order(h5py.h5p.CRT_ORDER_TRACKED)
    properties.set_attr_phase_change(_ATTRIBUTES, _ATTRIBUTES)
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), gcpl=properties))


def _write_type(group: h5py.Group, kind: str) -> None:
    group.attrs.update({"namespace": _NAMESPACE, "neurodata_type": kind, "object_id": str(uuid.uuid4())})


def _list_values(record: RunRecord) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the attributes of a record's group, and the texts of its datasets."""
    attributes: dict[str, Any] = {name: getattr(record, name) for name in TEXT_FIELDS}
    attributes |= {
        "revision": record.revision,
        "started": format_time(record.started),
        "ended": format_time(record.ended),
        "record_digest": compute_record_digest(record),
    }
    if record.seed is not None:
        attributes["seed"] = record.seed
    texts = {name: canonical_json(getattr(record, name)) for name in ("parameters", "packages", "resources")}
    if record.sources:
        texts["sources"] = canonical_json(list(record.sources))
    for name, objects in (("inputs", record.inputs), ("outputs", record.outputs)):
        if objects:
            texts[name] = _format_objects(objects)
    return attributes, texts


def _format_objects(objects: Collection[ObjectRecord]) -> str:
    return canonical_json([asdict(item) for item in objects])


def _find_same_packages(file: h5py.File, packages: str) -> str:
    """Return the id of a run in the file whose record lists the same packages; empty if there is none."""
    for _, group in iter_run_groups(file):
        try:
            text = read_texts(group, "packages")[()]
            if len(text) < _LONG:  # most refer to an earlier run
                ending = "_" + str(json.loads(text).get(SAME_PACKAGES, ""))[:8]
                group = next((earlier for _, earlier in iter_run_groups(file, ending=ending)), group)
                text = read_texts(group, "packages")[()]
            if text == packages.encode():
                return str(group.attrs["run_id"])
        except (KeyError, TypeError, ValueError, AttributeError, OSError):  # damaged: another will do
            continue
    return ""


def seal_records(file: h5py.File, names: Collection[str]) -> None:
    """Write the digests of records anew, after nwbpipe itself changed them in place."""
    for record in read_records(file):
        if record.name in names and record.record_digest:  # nwbpipe 0.1 wrote none, and its schema has none
            file[f"{LOCATION}/{record.name}"].attrs["record_digest"] = compute_record_digest(record)


def mark_superseded(file: h5py.File, step: str, by: str = REMOVED) -> list[str]:
    """Mark the current records of a step as superseded, in place.

    Parameters
    ----------
    file : h5py.File
        Open for writing, before pynwb opens it (within the same transaction).
    step : str
        The step.
    by : str
        Id of the run that replaces them, or "removed".

    Returns
    -------
    list of str
        Paths of the records that were marked; empty if the step had no current record.
    """
    if not by:
        raise ValueError("`by` must name the run that replaces the record, or be 'removed'")
    marked = []
    for _, group in iter_run_groups(file, step):
        if has_text(group, "step", step) and not _is_superseded(file, group):
            group.attrs["superseded_by"] = by
            marked.append(group.name)
    return marked


def _is_superseded(file: h5py.File, group: h5py.Group) -> bool:
    """Return True if a record is marked, by a run that the file has."""
    by = group.attrs["superseded_by"]
    by = by.decode() if isinstance(by, bytes) else str(by)
    return bool(by) and has_run(file, by)
