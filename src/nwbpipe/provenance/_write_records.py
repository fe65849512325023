"""Write run records, and mark those that are superseded."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from typing import Any

import h5py

from nwbpipe.errors import InvalidResultError
from nwbpipe.files import read_texts
from nwbpipe.provenance._canonical import canonical_json
from nwbpipe.provenance._records import (
    LOCATION,
    OBJECT_FIELDS,
    REMOVED,
    SAME_PACKAGES,
    TEXT_FIELDS,
    RunRecord,
    format_time,
    has_run,
    has_text,
    iter_run_groups,
    read_records,
)
from nwbpipe.provenance._seal import compute_record_digest

_LONG = 256  # bytes of a list of packages, above which a record refers to an equal one
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
    attributes, datasets = _list_values(record)
    container.add_processing_run(ProcessingRun(name=record.name, **attributes, **datasets))


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
    attributes, datasets = _list_values(record)
    if len(datasets["packages"]) > _LONG and (earlier := _find_same_packages(file, datasets["packages"])):
        datasets["packages"] = canonical_json({SAME_PACKAGES: earlier})
    group = container.create_group(record.name)
    _write_type(group, "ProcessingRun")
    group.attrs.update(attributes)
    for name, value in datasets.items():
        group.create_dataset(name, data=value, dtype=h5py.string_dtype())


def _write_type(group: h5py.Group, kind: str) -> None:
    group.attrs.update({"namespace": _NAMESPACE, "neurodata_type": kind, "object_id": str(uuid.uuid4())})


def _list_values(record: RunRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes of a record's group, and its datasets."""
    attributes: dict[str, Any] = {name: getattr(record, name) for name in TEXT_FIELDS}
    attributes |= {
        "revision": record.revision,
        "started": format_time(record.started),
        "ended": format_time(record.ended),
        "record_digest": compute_record_digest(record),
    }
    if record.seed is not None:
        attributes["seed"] = record.seed
    datasets: dict[str, Any] = {
        name: canonical_json(getattr(record, name)) for name in ("parameters", "packages", "resources", "sources")
    }
    for kind, objects in (("input", record.inputs), ("output", record.outputs)):
        if objects:  # hdmf refuses an empty dataset: it has no type
            for name in OBJECT_FIELDS:
                datasets[f"{kind}_{name}"] = [getattr(item, name) for item in objects]
    return attributes, datasets


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
