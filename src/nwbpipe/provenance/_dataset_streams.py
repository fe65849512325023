"""Read a dataset as a stream in C order, in bounded memory, and each chunk only once where possible."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from nwbpipe.files import can_decode_chunks, read_chunked
from nwbpipe.provenance._hashing import is_plain

_SLAB_BYTES = 32 * 2**20  # bytes read at a time
_MAX_SLAB_BYTES = 160 * 2**20  # … unless a row of chunks is larger: up to this
_CHUNK_CACHE_BYTES = 2**20
_OBJECT_BYTES = 256  # guessed memory of a text or reference in Python


def _iter_selections(
    shape: tuple[int, ...], chunks: tuple[int, ...] | None, itemsize: int
) -> Iterator[tuple[slice, ...]]:
    """Yield selections that cover the shape in C order, aligned with rows of chunks.

    A row of chunks (all those that share indices of the first axis) that is larger than the limit is read in
    several parts, and its chunks are decoded once for each part: the price of bounded memory.
    """
    if not shape:
        yield ()
        return
    length = shape[0]
    row = itemsize * math.prod(shape[1:])
    chunk = min(chunks[0], length) if chunks else 1
    if row > _MAX_SLAB_BYTES:
        for index in range(length):
            for inner in _iter_selections(shape[1:], chunks[1:] if chunks else None, itemsize):
                yield (slice(index, index + 1), *inner)
        return
    everything = tuple(slice(0, size) for size in shape[1:])
    if chunk * row <= _MAX_SLAB_BYTES:
        step = period = max(1, _SLAB_BYTES // (chunk * row)) * chunk
    else:
        period = chunk
        step = math.ceil(chunk / math.ceil(chunk * row / _MAX_SLAB_BYTES))
    for base in range(0, length, period):
        end = min(base + period, length)
        for start in range(base, end, step):
            yield (slice(start, min(start + step, end)), *everything)


def iter_values(dataset: h5py.Dataset) -> Iterator[Any]:
    """Yield a dataset's values in C order; an array is valid until the next one is asked for.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of any shape but a null dataspace.

    Yields
    ------
    numpy.ndarray or scalar
    """
    if dataset.size == 0:
        return
    dtype = dataset.dtype
    plain = is_plain(dtype) and dtype.subdtype is None
    itemsize = dtype.itemsize if plain else max(dtype.itemsize, _OBJECT_BYTES)
    by_chunk = (
        dataset.chunks is not None
        and dataset.chunks[1:] != dataset.shape[1:]
        and math.prod(dataset.chunks) * itemsize >= _CHUNK_CACHE_BYTES
    )
    in_threads = plain and can_decode_chunks(dataset)
    buffer: np.ndarray | None = None
    for selection in _iter_selections(dataset.shape, dataset.chunks, itemsize):
        if not plain or not selection:
            yield dataset[selection]
            continue
        shape = tuple(part.stop - part.start for part in selection)
        count = math.prod(shape)
        if buffer is None or buffer.size < count:
            buffer = np.empty(count, dtype)
        values = buffer[:count].reshape(shape)
        if in_threads:
            read_chunked(dataset, selection, out=values)
        elif by_chunk:
            _read_by_chunk(dataset, values, selection)
        else:
            dataset.read_direct(values, selection)
        yield values


def _read_by_chunk(dataset: h5py.Dataset, values: np.ndarray, selection: tuple[slice, ...]) -> None:
    """Read a selection chunk by chunk.

    HDF5 reads chunks that are larger than its cache straight from the file, in as many pieces as a row of the
    selection has (128 bytes each for 64 channels). The part of a single chunk is read in one piece.
    """
    axes = [
        [slice(start, min(start + size, part.stop)) for start in range(part.start, part.stop, size)]
        for part, size in zip(selection[1:], dataset.chunks[1:], strict=True)
    ]
    for parts in itertools.product(*axes):
        inside = tuple(
            slice(part.start - axis.start, part.stop - axis.start)
            for part, axis in zip(parts, selection[1:], strict=True)
        )
        values[(slice(None), *inside)] = dataset[(selection[0], *parts)]


def iter_rows(dataset: h5py.Dataset, rows: np.ndarray) -> Iterator[Any]:
    """Yield the values of some rows of a dataset, in the order of `rows` (1-D, integers)."""
    if not len(rows):
        return
    row = max(1, math.prod(dataset.shape[1:])) * (
        dataset.dtype.itemsize if is_plain(dataset.dtype) else _OBJECT_BYTES
    )
    if dataset.shape[0] * row <= _SLAB_BYTES:
        yield dataset[...][rows]
        return
    most = max(1, _SLAB_BYTES // row)
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for run in np.split(rows, breaks):
        for start in range(int(run[0]), int(run[-1]) + 1, most):
            yield dataset[start : min(start + most, int(run[-1]) + 1)]
