"""The NWB objects of a session file, read with h5py alone: pynwb takes a hundred times as long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import DamagedFileError
from nwbpipe.session._schemas import hash_schemas

_NO_DATA = ("/specifications", "/general/nwbpipe")
_MOST = 8
_LINEAGES: dict[str, dict[str, frozenset[str]]] = {}


@dataclass(frozen=True)
class NwbObject:
    """An NWB object of a file.

    Attributes
    ----------
    path : str
        HDF5 path.
    neurodata_type : str
        Its type.
    lineage : frozenset of str
        Its type and the types that this extends.
    object_id : str
    """

    path: str
    neurodata_type: str
    lineage: frozenset[str]
    object_id: str


def list_nwb_objects(file: h5py.File) -> list[NwbObject]:
    """Return the NWB objects of an open file but the file itself, by path."""
    lineages = _load_lineages(file)
    objects = [_describe(path, item, lineages) for path, item in _walk_quickly(file) if path != "/"]
    return sorted((item for item in objects if item is not None), key=lambda item: item.path)


def find_nwb_object(file: h5py.File, path: str) -> NwbObject | None:
    """Return the NWB object at a path of an open file; None if there is none, or a link stands there."""
    parent, _, name = path.rpartition("/")
    group = file.get(parent or "/") if "\0" not in path else None
    if not name or not isinstance(group, h5py.Group) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        return None
    item = group[name].id
    if not isinstance(item, h5py.h5g.GroupID | h5py.h5d.DatasetID):
        return None
    return _describe(path, item, _load_lineages(file))


def _describe(
    path: str, item: h5py.h5g.GroupID | h5py.h5d.DatasetID, lineages: Mapping[str, frozenset[str]]
) -> NwbObject | None:
    name = _read_text(item, b"neurodata_type")
    if not name:
        return None
    lineage = lineages.get(name)
    if lineage is None:
        lineage = _ask_pynwb(name, _read_text(item, b"namespace") or "core")
    return NwbObject(path, name, lineage, _read_text(item, b"object_id"))


def _walk_quickly(file: h5py.File) -> Iterator[tuple[str, h5py.h5g.GroupID | h5py.h5d.DatasetID]]:
    """Yield what `walk_objects` yields, but records and schemas, in a tenth of its time: a file holds thousands."""
    visited: set[int] = set()
    pending: list[tuple[str, Any]] = [("/", h5py.h5o.open(file.id, b"/"))]
    while pending:
        path, item = pending.pop()
        address = int(h5py.h5o.get_info(item).addr)
        if address in visited:
            continue
        visited.add(address)
        yield path, item
        if not isinstance(item, h5py.h5g.GroupID):
            continue
        for name in item:
            child = f"{path.rstrip('/')}/{name.decode('utf-8', 'surrogateescape')}"
            if child not in _NO_DATA and item.links.get_info(name).type == h5py.h5l.TYPE_HARD:
                member = h5py.h5o.open(item, name)
                if isinstance(member, h5py.h5g.GroupID | h5py.h5d.DatasetID):
                    pending.append((child, member))


def _read_text(item: h5py.h5g.GroupID | h5py.h5d.DatasetID, name: bytes) -> str:
    """Return the text of an attribute; empty if there is none."""
    if not h5py.h5a.exists(item, name):
        return ""
    attribute = h5py.h5a.open(item, name)
    if attribute.shape != () or h5py.check_string_dtype(attribute.dtype) is None:
        return ""
    value = np.empty((), attribute.dtype)
    attribute.read(value)
    text: Any = value[()]
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def _load_lineages(file: h5py.File) -> dict[str, frozenset[str]]:
    """Return the ancestors of each type in a file's own schemas, cached by the digest of the schemas."""
    key = hash_schemas(file)
    if key not in _LINEAGES:
        while len(_LINEAGES) >= _MOST:
            _LINEAGES.pop(next(iter(_LINEAGES)))
        parents = dict(_iter_type_parents(file))
        _LINEAGES[key] = {name: frozenset(_iter_ancestors(name, parents)) for name in parents}
    return _LINEAGES[key]


def _iter_type_parents(file: h5py.File) -> Iterator[tuple[str, str | None]]:
    """Yield each type that the schemas define, and the type that it extends."""
    location = file.attrs.get(".specloc")
    if location is None:
        return
    for namespace in file[location].values():
        versions = sorted(namespace)  # the newest last, as hdmf takes it
        for dataset in namespace[versions[-1]].values() if versions else ():
            try:
                spec = json.loads(dataset.asstr()[()])
            except (ValueError, TypeError, AttributeError, RecursionError, OSError) as error:
                raise DamagedFileError(
                    "the file's own copy of a schema can't be read",
                    where=f"{file.filename}: {getattr(dataset, 'name', location)}",
                    expected="a text of JSON",
                    found=f"{type(error).__name__}: {error}"[:200],
                    hint="export the file with a current pynwb, or restore it from a copy",
                ) from error
            yield from _iter_type_definitions(spec)


def _iter_type_definitions(spec: Any) -> Iterator[tuple[str, str | None]]:
    if isinstance(spec, list):
        for item in spec:
            yield from _iter_type_definitions(item)
    elif isinstance(spec, dict):
        name = spec.get("neurodata_type_def") or spec.get("data_type_def")
        if name:
            yield str(name), spec.get("neurodata_type_inc") or spec.get("data_type_inc")
        for part in ("groups", "datasets"):
            yield from _iter_type_definitions(spec.get(part, []))


def _iter_ancestors(name: str | None, parents: dict[str, str | None]) -> Iterator[str]:
    visited: set[str] = set()
    while name and name not in visited:
        visited.add(name)
        yield name
        name = parents.get(name)


def _ask_pynwb(name: str, namespace: str) -> frozenset[str]:
    """Return the lineage that pynwb gives a type that a file's schemas lack; the type alone, if pynwb lacks it."""
    from pynwb import get_class

    import nwbpipe.extensions  # noqa: F401  (registers our types)

    try:
        return frozenset(cls.__name__ for cls in get_class(name, namespace).__mro__)
    except Exception:  # hdmf has no one error for it
        return frozenset({name})


def count_stored_bytes(item: h5py.Group | h5py.Dataset) -> int:
    """Return the size in the file of a dataset, or of all in a group."""
    sizes: list[int] = []

    def count(_: str, inner: h5py.Group | h5py.Dataset) -> None:
        if isinstance(inner, h5py.Dataset):
            sizes.append(inner.id.get_storage_size())

    count("", item)
    if isinstance(item, h5py.Group):
        item.visititems(count)
    return sum(sizes)
