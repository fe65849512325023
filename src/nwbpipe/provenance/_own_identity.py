"""Identity of the own content of a result: to see that nobody changed it since its run wrote it.

Unlike `identify_object` it does not follow what leads out of the object: a table, a recording or a file elsewhere is
named by its object id or path. So it costs one reading of the result, whatever it refers to, and a change elsewhere
leaves it alone. The names of objects within it count, as roles do.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import h5py

from nwbpipe.errors import DamagedFileError, InputError
from nwbpipe.provenance._hashing import hash_node
from nwbpipe.provenance._identity import IdentityResult, ObjectHasher
from nwbpipe.provenance._identity_rules import describe_selection, is_free_text, read_text_attribute

OWN = "/own:"


def own_name(path: str) -> str:
    """Return the name under which the cache has the own identity of the object at a path."""
    return f"{OWN}{path}"


def find_own_identity(file: h5py.File, path: str, written: Mapping[str, bytes] | None = None) -> IdentityResult:
    """Return the identity of an object's own content.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    path : str
        HDF5 path of the object.
    written : mapping of str to bytes, optional
        Digests of datasets' values by path, from `WrittenValues`: these are not read.

    Raises
    ------
    InputError
        If there is no object at that path.
    DamagedFileError
        If its values can't be read.
    """
    address = f"{file.filename}:{path}"
    try:
        item = file[path]
    except (KeyError, ValueError, OSError) as error:
        raise InputError("the file has no object at this path", where=address, found=str(error)) from error
    try:
        hasher = _OwnHasher(file, item.name, written or {})
        identity = hasher.hash_object(item).hex()
    except (OSError, RuntimeError) as error:
        raise DamagedFileError(
            "an object can't be read to the end",
            where=address,
            found=str(error),
            hint="the file is damaged, or its compression needs a plug-in (pip install hdf5plugin)",
        ) from error
    kind, object_id = (read_text_attribute(item, name) for name in ("neurodata_type", "object_id"))
    return IdentityResult(identity, kind, object_id, {}, (item.name,) if hasher.traceable else None)


class _OwnHasher(ObjectHasher):
    def __init__(self, root: h5py.File, path: str, written: Mapping[str, bytes]) -> None:
        super().__init__(root, "", _refuse_media)
        self._path, self._written = path, written

    def hash_object(self, obj: Any) -> bytes:
        """Return the digest of a group, dataset or named type; of a link that leads elsewhere, that of its target."""
        if isinstance(obj, h5py.ExternalLink):
            return hash_node("external", obj.filename, obj.path)
        if isinstance(obj, h5py.SoftLink):
            return self._hash_target(self.root.get(obj.path), obj.path)
        return super().hash_object(obj)

    def _iter_children(self, group: h5py.Group) -> Iterator[tuple[str, Any]]:
        for name in sorted(group):
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                yield name, link
            elif not is_free_text(name, group[name]):
                yield name, group[name]

    def _hash_dataset(self, dataset: h5py.Dataset) -> bytes:
        return self._hash_plain_dataset(dataset)

    def _hash_values(self, dataset: h5py.Dataset, arrays: Iterator[Any]) -> bytes:
        return self._written.get(dataset.name) or super()._hash_values(dataset, arrays)

    def _hash_external_files(self, dataset: h5py.Dataset) -> bytes:
        # the names: media are no part of the file
        return self._hash_plain_dataset(dataset)

    def _make_resolver(self, holder: Any) -> Callable[[Any], bytes]:
        def resolve(reference: Any) -> bytes:
            try:
                target = holder.file[reference]
            except (ValueError, KeyError):
                return hash_node("nothing")
            parts = [self._hash_target(target, str(target.name))]
            if isinstance(reference, h5py.RegionReference):
                parts.append(describe_selection(reference, holder).encode())
            return hash_node("reference", *parts)

        return resolve

    def _hash_target(self, target: Any, path: str) -> bytes:
        """Return the digest that stands for what a link or reference leads to."""
        if target is None:
            return hash_node("nothing")
        name = target.file[target.ref].name or path
        if f"{name}/".startswith(f"{self._path.rstrip('/')}/"):
            return hash_node("inside", posixpath.relpath(name, self._path))
        owner = target
        while owner.name not in (None, "/") and not read_text_attribute(owner, "object_id"):
            owner = owner.parent
        role = posixpath.relpath(name, owner.name or "/")
        return hash_node("outside", read_text_attribute(owner, "object_id"), role)


def _refuse_media(path: Any) -> str:
    raise AssertionError(f"{path}: media are not hashed for the own content of a result")
