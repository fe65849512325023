"""Find links and references within an HDF5 file: hard and soft links, object and region references."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import h5py
import numpy as np


def walk_objects(file: h5py.File, without: Collection[str] = ()) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Yield each group and dataset once, with its path; links to elsewhere are not followed.

    Groups at the paths `without` are left out, with all that is in them.
    """
    return _walk("/", file["/"], without)


def _walk(path: str, item: Any, without: Collection[str] = ()) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    visited: set[int] = set()
    pending: list[tuple[str, Any]] = [(path, item)]
    while pending:
        path, item = pending.pop()
        address = int(h5py.h5o.get_info(item.id).addr)
        if address in visited:
            continue
        visited.add(address)
        yield path, item
        if isinstance(item, h5py.Group):
            for name in item:
                if posixpath.join(path, name) in without:
                    continue
                if isinstance(item.get(name, getlink=True), h5py.HardLink):
                    child = item[name]
                    if isinstance(child, h5py.Group | h5py.Dataset):
                        pending.append((posixpath.join(path, name), child))


def unlink(group: h5py.Group, path: str) -> None:
    """Remove an object's name, and hold the datasets below it open until the file is closed.

    HDF5 frees what is unlinked only when its last handle is closed: in a transaction the space is then not given to
    another dataset, and a reader that holds no lock goes on reading the old values.
    """
    for _, item in _walk(path, group[path]):
        if isinstance(item, h5py.Dataset):
            h5py.h5i.inc_ref(item.id)  # closing the file closes it
    del group[path]


def soft_links(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Yield the path of each soft link and the absolute path that it names."""
    for path, item in walk_objects(file):
        if isinstance(item, h5py.Group):
            for name in item:
                link = item.get(name, getlink=True)
                if isinstance(link, h5py.SoftLink):
                    yield posixpath.join(path, name), posixpath.normpath(posixpath.join(path, link.path))


def iter_references(item: h5py.Group | h5py.Dataset) -> Iterator[Any]:
    """Yield every object or region reference in an object's attributes and values; null ones too."""
    for name in item.attrs:
        attribute = item.attrs.get_id(name)
        if holds_references(attribute.dtype):
            yield from _iter_references_in(item.attrs[name], attribute.dtype)
    if isinstance(item, h5py.Dataset) and item.shape is not None and holds_references(item.dtype):
        yield from _iter_references_in(item[()], item.dtype)


def holds_references(dtype: np.dtype[Any]) -> bool:
    """Return True if values of this type are or contain references."""
    if h5py.check_ref_dtype(dtype) is not None:
        return True
    if dtype.names:
        return any(holds_references(dtype[name]) for name in dtype.names)
    if dtype.subdtype is not None:
        return holds_references(dtype.subdtype[0])
    inner = h5py.check_vlen_dtype(dtype)
    return isinstance(inner, np.dtype) and holds_references(inner)


def _iter_references_in(values: Any, dtype: np.dtype[Any]) -> Iterator[Any]:
    if isinstance(values, h5py.Empty):
        return
    if dtype.names:
        for name in dtype.names:
            if holds_references(dtype[name]):
                yield from _iter_references_in(values[name], dtype[name])
        return
    for value in np.asarray(values, dtype=object).ravel():
        if isinstance(value, h5py.Reference | h5py.RegionReference):
            yield value
        elif isinstance(value, np.ndarray):
            yield from (item for item in value.ravel() if isinstance(item, h5py.Reference | h5py.RegionReference))


def find_users(file: h5py.File, paths: list[str]) -> list[str]:
    """Return the objects and links outside of `paths` that lead to one of `paths` or below it."""
    users = {path for path, target in soft_links(file) if is_below(target, paths) and not is_below(path, paths)}
    addresses = {int(h5py.h5o.get_info(item.id).addr) for path, item in walk_objects(file) if is_below(path, paths)}
    for path, item in walk_objects(file):
        if is_below(path, paths):
            continue
        for reference in iter_references(item):
            target = _dereference(file, reference)
            if target is not None and int(h5py.h5o.get_info(target.id).addr) in addresses:
                users.add(path)
                break
    return sorted(users)


def find_dangling(file: h5py.File) -> list[str]:
    """Return the objects that hold a reference to nothing, and the soft links that lead nowhere."""
    dangling = {path for path, target in soft_links(file) if not _target_exists(file, target)}
    reachable = {int(h5py.h5o.get_info(item.id).addr) for _, item in walk_objects(file)}
    for path, item in walk_objects(file):
        for reference in iter_references(item):
            if not reference:  # a null reference says "none"
                continue
            target = _dereference(file, reference)
            # HDF5 still finds an unlinked object while its bytes stand: reachable by a name is what counts
            if target is None or int(h5py.h5o.get_info(target.id).addr) not in reachable:
                dangling.add(path)
                break
    return sorted(dangling)


def is_below(path: str, paths: Iterable[str]) -> bool:
    """Return True if `path` equals one of `paths` or lies below one."""
    return any(path == parent or path.startswith(parent.rstrip("/") + "/") for parent in paths)


def _target_exists(file: h5py.File, target: str) -> bool:
    """Return True if a path exists. A path through an external link counts as existing."""
    parts = target.strip("/").split("/")
    for count in range(1, len(parts) + 1):
        link = file.get("/".join(parts[:count]), getlink=True) if parts[0] else None
        if isinstance(link, h5py.ExternalLink):
            return True
        if "/".join(parts[:count]) not in file:
            return target == "/"
    return True


def _dereference(file: h5py.File, reference: Any) -> Any:
    try:
        return file[reference] if reference else None
    except (ValueError, KeyError, OSError, RuntimeError):
        return None
