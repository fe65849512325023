"""Change what run records say of places, when results get other names."""

from __future__ import annotations

from collections.abc import Callable

import h5py

from nwbpipe.provenance._canonical import canonical_json
from nwbpipe.provenance._records import LOCATION, RunRecord, read_records


def rename_record(file: h5py.File, record: RunRecord, step: str, renamed: Callable[[str], str]) -> None:
    """Give a run another step's name, and every current run the paths that objects have now.

    Keys, ids, times and identities stay: it is the same run. Superseded records keep what they say.

    Parameters
    ----------
    file : h5py.File
        Open for writing, within a transaction.
    record : RunRecord
        The run that gets the name.
    step : str
        The step's new name.
    renamed : callable
        Returns the new path for an old one; the same if it did not change.
    """
    for one in read_records(file):
        if not one.superseded:
            _rename_paths(file[f"{LOCATION}/{one.name}"], renamed)
    group = file[f"{LOCATION}/{record.name}"]
    group.attrs["step"] = step
    file.move(group.name, f"{LOCATION}/{step}_{record.run_id[:8]}")


def set_sources(file: h5py.File, record: RunRecord) -> None:
    """Give a run's record in a file the key, sources and resources that it has here: what came out meanwhile.

    Parameters
    ----------
    file : h5py.File
        Open for writing, and not committed yet.
    record : RunRecord
        With its key, sources and resources.
    """
    group = file[f"{LOCATION}/{record.name}"]
    group.attrs["key"] = record.key
    group["sources"][()] = canonical_json(list(record.sources))
    group["resources"][()] = canonical_json(record.resources)


def _rename_paths(group: h5py.Group, renamed: Callable[[str], str]) -> None:
    for kind in ("input", "output"):
        if f"{kind}_path" not in group:
            continue
        paths, names = group[f"{kind}_path"], group[f"{kind}_name"]
        for index, old in enumerate(paths.asstr()[...]):
            new = renamed(old)
            if new == old:
                continue
            paths[index] = new
            if kind == "output":  # an output is called after its container, an input after its role
                names[index] = new.rpartition("/")[2]
