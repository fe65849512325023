"""Carry objects over from one HDF5 file into another, with what they link to."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

import h5py

from nwbpipe.files._links import holds_references, is_below, iter_references, walk_objects
from nwbpipe.files._repack import set_references


def outside_targets(file: h5py.File, paths: Sequence[str]) -> set[str]:
    """Return the paths that objects below `paths` link or refer to, and that are not below them themselves.

    Raises
    ------
    KeyError
        If a link or reference leads nowhere.
    """
    targets: set[str] = set()
    names = {int(h5py.h5o.get_info(item.id).addr): path for path, item in walk_objects(file)}

    def target(item: h5py.HLObject) -> str:
        return names[int(h5py.h5o.get_info(item.id).addr)]

    for path, item in _iter_below(file, paths):
        targets.update(target(file[reference]) for reference in iter_references(item) if reference)
        if isinstance(item, h5py.Group):
            for name in item:
                link = item.get(name, getlink=True)
                if isinstance(link, h5py.SoftLink):
                    targets.add(target(file[posixpath.normpath(posixpath.join(path, link.path))]))
                elif isinstance(link, h5py.HardLink):  # its first name may be elsewhere
                    targets.add(target(item[name]))
    return {path for path in targets if not is_below(path, list(paths))}


def _iter_below(file: h5py.File, paths: Sequence[str]) -> Iterable[tuple[str, h5py.Group | h5py.Dataset]]:
    return ((path, item) for path, item in walk_objects(file) if is_below(path, list(paths)))


def carry_over(old: h5py.File, new: h5py.File, paths: Sequence[str]) -> None:
    """Copy objects into another file, to the same paths; references lead to the objects of the new file.

    Data are copied as they are stored. Groups above them that the new file lacks are made, with their attributes.

    Parameters
    ----------
    old, new : h5py.File
        The one open for reading, the other for writing.
    paths : sequence of str
        Of groups or datasets; none of them is in the new file. What they refer to outside of themselves has to be.

    Raises
    ------
    KeyError
        If something that they refer to is not in the new file.
    """
    for path in paths:
        parent = posixpath.dirname(path)
        _make_groups(old, new, parent)
        old.copy(path, new[parent], name=posixpath.basename(path))
    set_references(old, new, _iter_below(old, paths))


def _make_groups(old: h5py.File, new: h5py.File, path: str) -> None:
    if path in new:
        return
    _make_groups(old, new, posixpath.dirname(path))
    group = new.create_group(path)
    for name in old[path].attrs:
        if not holds_references(old[path].attrs.get_id(name).dtype):
            group.attrs[name] = old[path].attrs[name]
