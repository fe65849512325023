"""Read every chunk of a session file, to find the datasets that a flipped bit or a bad block has hit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import h5py

from nwbpipe.errors import DamagedFileError, InputError
from nwbpipe.files import is_below, walk_objects
from nwbpipe.provenance import find_own_identity, iter_values


@dataclass(frozen=True)
class StoredValues:
    """The state of a file's values as they are stored.

    Attributes
    ----------
    damaged : dict of str to str
        Path of each dataset that can't be read to its end, and the reason.
    count : int
        Number of datasets that were read.
    unprotected : tuple of str
        Paths of those whose values have neither a checksum in the file nor an identity in a record: a flipped bit in
        them can't be seen.
    unprotected_bytes : int
        Their stored size.
    identities : dict of str to str
        Identity of each dataset that could be read.
    """

    damaged: dict[str, str]
    count: int
    unprotected: tuple[str, ...]
    unprotected_bytes: int
    identities: dict[str, str]


def read_through(file: h5py.File, identified: Collection[str] = ()) -> StoredValues:
    """Read all values of a file.

    Chunks that are compressed by gzip, or have a Fletcher checksum, are compared with it as they are decoded.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    identified : collection of str
        Paths of objects whose content is compared with an identity.
    """
    damaged: dict[str, str] = {}
    unprotected: list[str] = []
    identities: dict[str, str] = {}
    count = stored = 0
    for path, item in walk_objects(file, without=("/specifications",)):
        if not isinstance(item, h5py.Dataset) or item.shape is None:
            continue
        count += 1
        try:
            identities[path] = find_own_identity(file, path).identity
        except DamagedFileError as error:
            damaged[path] = error.problem.found or error.problem.what
        except InputError:  # of a type that no identity is defined for
            damaged.update(_read_values(path, item))
        if not (item.compression == "gzip" or item.fletcher32 or is_below(path, list(identified))):
            unprotected.append(path)
            stored += item.id.get_storage_size()
    return StoredValues(damaged, count, tuple(unprotected), stored, identities)


def _read_values(path: str, item: h5py.Dataset) -> dict[str, str]:
    try:
        for _ in iter_values(item):
            pass
    except (OSError, RuntimeError, ValueError) as error:
        return {path: str(error)}
    return {}
