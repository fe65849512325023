"""The files of the identity cache: one small JSON file per data file, replaced atomically."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from nwbpipe.disk import remove_file
from nwbpipe.provenance._files import AnyStat
from nwbpipe.provenance._hashing import FORMAT
from nwbpipe.provenance._identity import IdentityResult
from nwbpipe.stores import is_remote


class CacheEntries:
    """The folder of the cache, as entries by data file and its state.

    Parameters
    ----------
    folder : Path
        Where they are; made when the first is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, file: Path | str, stat: AnyStat) -> dict[str, Any]:
        """Return the entry of a file in that state; an empty one if there is none, or it can't be read."""
        empty: dict[str, Any] = {"stat": list(stat), "objects": {}, "sha256": None}
        try:
            entry = json.loads(self._path(file).read_bytes())
            good = (
                entry["format"] == FORMAT
                and entry["stat"] == list(stat)
                and (entry["sha256"] is None or isinstance(entry["sha256"], str))
                and all(map(_is_object_entry, entry["objects"].values()))
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return empty
        return {name: entry[name] for name in empty} if good else empty

    def store(self, file: Path | str, entry: dict[str, Any]) -> None:
        """Replace the entry of a file; one that can't be written is done without."""
        path = self._path(file)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            try:
                with os.fdopen(handle, "w") as stream:
                    json.dump({"format": FORMAT} | entry, stream)
                Path(temporary).replace(path)
            except BaseException:
                remove_file(Path(temporary))
                raise

    def _path(self, file: Path | str) -> Path:
        location = str(file) if is_remote(file) else os.path.realpath(file)
        name = hashlib.sha256(os.fsencode(location)).hexdigest()
        return self.folder / f"{name[:40]}.json"


def _is_object_entry(entry: Any) -> bool:
    return (
        all(isinstance(entry[name], str) for name in ("identity", "object_id", "neurodata_type"))
        and isinstance(entry["files"], dict)
        and (entry["reads"] is None or all(isinstance(name, str) for name in entry["reads"]))
    )


def make_entry(result: IdentityResult) -> dict[str, Any]:
    """Return the entry of an object."""
    return {
        "identity": result.identity,
        "object_id": result.object_id,
        "neurodata_type": result.neurodata_type,
        "files": {name: list(state) for name, state in result.files.items()},
        "reads": result.objects,
    }


def overlap(first: str, second: str) -> bool:
    """Return True if two HDF5 paths are the same, or one lies below the other."""
    first, second = first.rstrip("/") + "/", second.rstrip("/") + "/"
    return first.startswith(second) or second.startswith(first)
