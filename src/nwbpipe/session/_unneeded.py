"""Find the results of a file that a commit need not read: pynwb takes milliseconds for each, in every later run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import h5py

from nwbpipe.files import iter_references

_FEW = 24  # results that are read all the same


def find_unneeded_results(file: h5py.File, inputs: Iterable[str]) -> set[str]:
    """Return the paths of results, of processing modules, that the inputs of a run do not lead to.

    Parameters
    ----------
    file : h5py.File
        An open session file.
    inputs : iterable of str
        Paths of the objects that the run read.

    Returns
    -------
    set of str
        Empty in a file with few results.
    """
    results = set(_iter_result_paths(file))
    if len(results) <= _FEW:
        return set()
    needed: set[str] = set()
    pending = [_find_outermost(path) for path in inputs]
    while pending:
        path = pending.pop()
        if path in needed or path not in file:
            continue
        needed.add(path)
        pending += [_find_outermost(target) for target in _iter_targets(file, file[path])]
    return results - needed


def _iter_result_paths(file: h5py.File) -> Iterator[str]:
    """Yield the path of each object of a processing module; links are not followed, nor the objects opened."""
    modules = file.get("processing")
    for module in modules if isinstance(modules, h5py.Group) else ():
        group = modules.get(module)
        if isinstance(group, h5py.Group):
            yield from (f"/processing/{module}/{name}" for name in group)


def _find_outermost(path: str) -> str:
    """Return the path of the object of a processing module that a path lies in; others as they are."""
    parts = path.split("/")
    return "/".join(parts[:4]) if path.startswith("/processing/") else path


def _iter_targets(file: h5py.File, item: h5py.Group | h5py.Dataset) -> Iterator[str]:
    """Yield the paths that an object, and what lies below it, links or refers to."""
    for reference in iter_references(item):
        if reference:
            yield str(file[reference].name)
    for name in item if isinstance(item, h5py.Group) else ():
        link = item.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            yield link.path
        elif isinstance(link, h5py.HardLink):
            yield from _iter_targets(file, item[name])
