"""Update run records: after results were renamed, and while a conversion writes."""

from __future__ import annotations

from collections.abc import Callable

import h5py

from nwbpipe.provenance._canonical import canonical_json
from nwbpipe.provenance._records import LOCATION, RunRecord, read_records


def rename_record(file: h5py.File, record: RunRecord, step: str, new_path: Callable[[str], str]) -> None:
    """Rename the step of a run, and update the object paths in every current record.

    Keys, ids, times and identities stay: it is the same run. Superseded records stay as they are.

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
    """
    for current in read_records(file):
        if not current.superseded:
            _rename_paths(file[f"{LOCATION}/{current.name}"], new_path)
    group = file[f"{LOCATION}/{record.name}"]
    group.attrs["step"] = step
    file.move(group.name, f"{LOCATION}/{step}_{record.run_id[:8]}")


def set_sources(file: h5py.File, record: RunRecord) -> None:
    """Update a run record already in the file: raw files are hashed while the file is written.

    Parameters
    ----------
    file : h5py.File
        Open for writing, and not committed yet.
    record : RunRecord
        The record with its final key, sources and resources.
    """
    group = file[f"{LOCATION}/{record.name}"]
    group.attrs["key"] = record.key
    group["sources"][()] = canonical_json(list(record.sources))
    group["resources"][()] = canonical_json(record.resources)


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
