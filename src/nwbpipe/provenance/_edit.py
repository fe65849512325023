"""Update run records: after results were renamed, and while a conversion writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import h5py

from nwbpipe.provenance._canonical import canonical_json
from nwbpipe.provenance._records import LOCATION, RunRecord, read_records
from nwbpipe.provenance._seal import find_record_fault
from nwbpipe.provenance._write_records import seal_records


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
        _rename_paths(file[f"{LOCATION}/{current.name}"], new_path)
    group = file[f"{LOCATION}/{record.name}"]
    group.attrs["step"] = step
    if "output_identity" in group:
        old = zip(group["output_path"].asstr()[...], group["output_identity"].asstr()[...], strict=True)
        group["output_identity"][...] = [identities.get(path, identity) for path, identity in old]
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
    if "output_identity" in group:
        group["output_identity"][...] = [output.identity for output in record.outputs]
    group["sources"][()] = canonical_json(list(record.sources))
    group["resources"][()] = canonical_json(record.resources)
    seal_records(file, [record.name])


def _rename_paths(group: h5py.Group, new_path: Callable[[str], str]) -> None:
    for kind in ("input", "output"):
        if f"{kind}_path" not in group:
            continue
        paths, names = group[f"{kind}_path"], group[f"{kind}_name"]
        for index, old in enumerate(paths.asstr()[...]):
            new = new_path(old)
            if new == old:
                continue
            paths[index] = new
            if kind == "output":  # an output has the name of its container, an input the name of its role
                names[index] = new.rpartition("/")[2]
