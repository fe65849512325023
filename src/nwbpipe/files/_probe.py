"""Walk through an HDF5 file in a process of its own: a damaged one can hang or crash its reader.

Run as ``python -m nwbpipe.files._probe PATH``; prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import ConflictError, FileAccessError, UnsafeFileError, UnsupportedFileError
from nwbpipe.files._dangers import DangerFinder
from nwbpipe.files._links import find_dangling, walk_objects
from nwbpipe.files._remote import open_remote
from nwbpipe.stores import is_remote

_MEMORY = 8 * 2**30


def probe(path: str) -> dict[str, Any]:
    """Open every object, attribute and index of chunks; raw data are not read, but must lie within the file.

    Returns
    -------
    dict
        ``used``: bytes that reachable objects take; ``dangling``: paths of what refers to nothing. Or ``dangers``
        alone: what makes the file unsafe to read on.

    Raises
    ------
    OSError
        If something can't be read.
    """
    with open_remote(path) if is_remote(path) else h5py.File(path, "r", locking=False) as file:
        folder = None if is_remote(path) else Path(path).resolve().parent
        dangers = [astuple(danger) for danger in DangerFinder(folder).list_first(file)]
        if dangers:
            return {"dangers": dangers}
        size = file.id.get_filesize()
        used = file.userblock_size
        for name, item in walk_objects(file):
            info = h5py.h5o.get_info(item.id)
            used += int(info.hdr.space.total)
            for part in (info.meta_size.obj, info.meta_size.attr):
                used += int(part.index_size) + int(part.heap_size)
            for attribute in item.attrs:
                used += _text_bytes(item.attrs[attribute])
            if isinstance(item, h5py.Dataset) and not item.is_virtual and not item.external:
                used += _stored_bytes(item, name, size)
        return {"used": used, "dangling": find_dangling(file)}


def _stored_bytes(dataset: h5py.Dataset, name: str, size: int) -> int:
    """Bytes of a dataset's values, as stored."""
    ends: list[int] = []
    if dataset.chunks is not None:
        if dataset.id.get_num_chunks():
            dataset.id.chunk_iter(lambda one: ends.append(one.byte_offset + one.size))
    else:
        offset = dataset.id.get_offset()
        if offset is not None:  # else compact, or not written yet
            ends.append(offset + dataset.id.get_storage_size())
    if max(ends, default=0) > size:
        msg = f"values of {name} lie beyond the end of the file"
        raise OSError(msg)
    text = h5py.check_string_dtype(dataset.dtype)
    outside = (
        _text_bytes(dataset[()]) if text is not None and text.length is None and dataset.shape is not None else 0
    )
    return int(dataset.id.get_storage_size()) + outside


def _limit_memory() -> None:
    """Bound the memory of this process: what declares more than it holds ends here, and not in the swap."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _MEMORY if hard == resource.RLIM_INFINITY else min(_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _text_bytes(value: Any) -> int:
    """Bytes that text of variable length takes in HDF5's heaps, about."""
    if isinstance(value, str | bytes):
        return 16 + len(value if isinstance(value, bytes) else value.encode())
    if isinstance(value, np.ndarray) and value.dtype == object:
        return sum(_text_bytes(element) for element in value.ravel())
    return 0


if __name__ == "__main__":
    _limit_memory()
    try:
        answer = probe(sys.stdin.read() if sys.argv[1] == "-" else sys.argv[1])
    except (FileAccessError, ConflictError) as error:
        answer = {"access": error.problem.found or error.problem.what}
    except UnsafeFileError as error:
        answer = {"dangers": [(error.problem.what, "/", error.problem.found or "")]}
    except UnsupportedFileError as error:
        answer = {"foreign": error.problem.found or error.problem.what}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer))
