"""Find the objects of a file that a commit need not read: pynwb takes milliseconds for each, in every later run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import h5py

from nwbpipe.files import iter_references

# Objects that are read all the same: a processor of the user's may look at a recording that is no input of its.
_FEW_RESULTS, _FEW_RECORDINGS = 24, 200


def find_unneeded_results(file: h5py.File, inputs: Iterable[str]) -> set[str]:
    """Return the paths of results in processing modules, and of recordings, that the inputs of a run do not lead to.

    Parameters
    ----------
    file : h5py.File
        An open session file.
    inputs : iterable of str
        Paths of the objects that the run read.

    Returns
    -------
    set of str
        Empty in a file with few of them.
    """
    results = set(_iter_result_paths(file))
    recordings = {f"/acquisition/{name}" for name in file.get("acquisition", ())}
    candidates = results if len(results) > _FEW_RESULTS else set()
    candidates |= recordings if len(recordings) > _FEW_RECORDINGS else set()
    if not candidates:
        return set()
    needed: set[str] = set()
    pending = [_find_outermost(path) for path in inputs]
    while pending:
        path = pending.pop()
        if path in needed or path not in file:
            continue
        needed.add(path)
        pending += [_find_outermost(target) for target in _iter_targets(file, file[path])]
    return candidates - needed


def _iter_result_paths(file: h5py.File) -> Iterator[str]:
    """Yield the path of each object of a processing module; links are not followed, nor the objects opened."""
    modules = file.get("processing")
    for module in modules if isinstance(modules, h5py.Group) else ():
        group = modules.get(module)
        if isinstance(group, h5py.Group):
            yield from (f"/processing/{module}/{name}" for name in group)


def _find_outermost(path: str) -> str:
    """Return the path of the result or recording that a path lies in; others as they are."""
    depth = {"processing": 4, "acquisition": 3}
    parts = path.split("/")
    return "/".join(parts[: depth.get(parts[1]) if len(parts) > 1 else None])


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
