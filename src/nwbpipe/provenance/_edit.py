"""Update run records: after results were renamed, and while a conversion writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import h5py

from nwbpipe.provenance._canonical import canonical_json
from nwbpipe.provenance._records import LOCATION, ObjectRecord, RunRecord, read_records
from nwbpipe.provenance._seal import find_record_fault
from nwbpipe.provenance._write_records import seal_records, write_objects, write_text


def rename_record(
    file: h5py.File,
    record: RunRecord,
    step: str,
    new_path: Callable[[str], str],
    identities: Mapping[str, str],
) -> None:
    """Rename the step of a run, and update the object paths in every current record.

    Keys, ids and times stay: it is the same run. Superseded records stay as they are. A record that another program
    changed before keeps its old digest, which does not match.

    Parameters
    ----------
    file : h5py.File
        Open for writing, within a transaction.
    record : RunRecord
        The run of the step.
    step : str
        The step's new name.
    new_path : callable
        Returns the new path for an old one; the same if it did not change.
    identities : mapping of str to str
        Own identities of the run's outputs, by new path, as far as they are as the run wrote them.
    """
    bound = []
    for current in read_records(file):
        if current.superseded:
            continue
        name = f"{step}_{record.run_id[:8]}" if current.run_id == record.run_id else current.name
        if current.record_digest and not find_record_fault(current):
            bound.append(name)
        group = file[f"{LOCATION}/{current.name}"]
        inputs = tuple(replace(item, path=new_path(item.path)) for item in current.inputs)
        outputs = tuple(_rename_output(item, new_path(item.path)) for item in current.outputs)
        if current.run_id == record.run_id:
            outputs = tuple(replace(item, identity=identities.get(item.path, item.identity)) for item in outputs)
        if inputs != current.inputs:
            write_objects(group, "input", inputs)
        if outputs != current.outputs:
            write_objects(group, "output", outputs)
    group = file[f"{LOCATION}/{record.name}"]
    group.attrs["step"] = step
    file.move(group.name, f"{LOCATION}/{step}_{record.run_id[:8]}")
    seal_records(file, bound)


def set_sources(file: h5py.File, record: RunRecord) -> None:
    """Update a run record already in the file: raw files and outputs are hashed while the file is written.

    Parameters
    ----------
    file : h5py.File
        Open for writing, and not committed yet.
    record : RunRecord
        The record with its final key, sources, identities of outputs and resources.
    """
    group = file[f"{LOCATION}/{record.name}"]
    group.attrs["key"] = record.key
    write_objects(group, "output", record.outputs)
    write_text(group, "sources", canonical_json(list(record.sources)))
    write_text(group, "resources", canonical_json(record.resources))
    seal_records(file, [record.name])


def _rename_output(output: ObjectRecord, path: str) -> ObjectRecord:
    """Return an output with another path; it has the name of its container, an input that of its role."""
    return output if path == output.path else replace(output, path=path, name=path.rpartition("/")[2])
