"""Comparing two session files by content."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.files import open_remote
from nwbpipe.stores import is_remote


def assert_same_content(
    first: Path | str | h5py.Group | h5py.Dataset,
    second: Path | str | h5py.Group | h5py.Dataset,
    *,
    ignore: Collection[str] = (),
) -> None:
    """Fail if two session files, or two objects of them, differ in content; name the first difference.

    Content is groups, links, references, attributes and decoded values, with shape and dtype. Chunks, compression and
    the place of an object in the file are not.

    Parameters
    ----------
    first, second : path, h5py.Group or h5py.Dataset
        Session files or URLs; or open objects, such as ``file["/processing/ophys"]``.
    ignore : collection of str
        Names of attributes, and paths relative to the two objects, with all below them: ``"object_id"``,
        ``"processing/ophys"``.

    Raises
    ------
    AssertionError
    """
    with ExitStack() as stack:
        first_content, second_content = (
            _describe(
                item if isinstance(item, h5py.Group | h5py.Dataset) else stack.enter_context(_open(item)), set(ignore)
            )
            for item in (first, second)
        )
        for path in sorted({*first_content, *second_content}):
            assert path in first_content, f"{path or '/'} is only in the second"
            assert path in second_content, f"{path or '/'} is only in the first"
            for name in sorted({*first_content[path], *second_content[path]}):
                a, b = first_content[path].get(name), second_content[path].get(name)
                assert _is_same(a, b), f"{path or '/'}: {name} differs: {_shorten(a)} and {_shorten(b)}"


def _open(path: Path | str) -> AbstractContextManager[h5py.File]:
    return open_remote(path) if is_remote(path) else h5py.File(path, "r", locking=False)


def _describe(item: h5py.Group | h5py.Dataset, ignore: set[str]) -> dict[str, dict[str, Any]]:
    """Return the content of an object and of each below it, by relative path."""
    content = {"": _describe_object(item, ignore)}
    if isinstance(item, h5py.Group):

        def visit(path: str, link: Any) -> None:
            if any(f"{path}/".startswith(f"{left_out}/") for left_out in ignore):
                return
            if isinstance(link, h5py.HardLink):
                content[path] = _describe_object(item[path], ignore)
            else:
                content[path] = {"link": f"{getattr(link, 'filename', '')}:{link.path}"}

        item.visititems_links(visit)
    return content


def _describe_object(item: Any, ignore: set[str]) -> dict[str, Any]:
    content = {f"attribute {name}": item.attrs[name] for name in item.attrs if name not in ignore}
    if isinstance(item, h5py.Dataset):
        content |= {"shape": item.shape, "dtype": str(item.dtype), "values": item[()]}
    return {name: _resolve(value, item.file) for name, value in content.items()}


def _resolve(value: Any, file: h5py.File) -> Any:
    """Return a value with the paths of objects in place of references."""
    if isinstance(value, h5py.Empty):
        return f"empty {value.dtype}"
    if isinstance(value, h5py.Reference):
        return file[value].name if value else None
    if isinstance(value, np.void) and value.dtype.names:
        return [_resolve(value[name], file) for name in value.dtype.names]
    if isinstance(value, np.ndarray) and (value.dtype.hasobject or value.dtype.names):
        return [_resolve(element, file) for element in value.ravel()]
    return value


def _is_same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_is_same, a, b))
    if isinstance(a, np.ndarray | np.generic) or isinstance(b, np.ndarray | np.generic):
        first, second = np.asarray(a), np.asarray(b)
        return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
    return bool(a == b)


def _shorten(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 80 else f"{text[:77]}..."
