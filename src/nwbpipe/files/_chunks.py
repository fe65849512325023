"""Large datasets, written and read chunk by chunk in threads.

HDF5 runs its filters one chunk after the other under one lock. Here they run beside it: shuffle and ISA-L deflate
in threads, and `write_direct_chunk` stores the result. What is in the file is an ordinary gzip chunk.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import h5py
import numpy as np

from nwbpipe.files._codec import LEVEL, encode_chunk, find_pipeline
from nwbpipe.files._sink import raise_failure
from nwbpipe_kit.chunks import FilterPipeline, read_stored_chunk

T = TypeVar("T")
Selection = tuple[slice, ...]
Offset = tuple[int, ...]
Read = Callable[[Selection], Any]
MEMORY_BYTES = 256 * 2**20
_BLOCK_BYTES = 16 * 2**20  # read at a time: arrays that are much larger get fresh pages from the system each time
_SMALL = 2**20  # bytes; less is read before threads have begun


def write_chunked(
    dataset: h5py.Dataset,
    read: Read,
    *,
    level: int = LEVEL,
    memory_bytes: int = MEMORY_BYTES,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Fill a dataset from a reader.

    The reader is asked in this thread, for one block after the other in C order; each is a multiple of whole rows of
    chunks where memory allows. An error in the reader or in a thread ends the whole: no thread is left behind.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked, of its full shape.
    read : callable
        Gives the values of a selection (one slice with start and stop for each axis) as an array.
    level : int
        ISA-L's level of deflate, 0 to 3.
    memory_bytes : int
        What may be held at a time, but at least a few chunks.
    threads : int, optional
        Default: one for each core, as far as memory allows.
    progress : callable, optional
        Called with the number of bytes (before compression) after each block that was read.

    Raises
    ------
    ValueError
        If the reader gives another shape than it was asked for.
    """
    pipeline = find_pipeline(dataset)
    count = threads or count_cores()
    if pipeline is not None:  # each holds a chunk, its shuffled bytes and the result: half of the memory
        count = max(1, min(count, memory_bytes // (6 * pipeline.nbytes)))
    waiting: deque[tuple[tuple[int, ...], int, Future[bytes]]] = deque()
    waiting_bytes, name = 0, dataset.file.filename

    def store() -> int:
        offset, size, future = waiting.popleft()
        dataset.id.write_direct_chunk(offset, future.result())
        raise_failure(name)
        return size

    with _open_thread_pool(count) as workers:
        for block in _iter_blocks(dataset.shape, dataset.chunks, dataset.dtype.itemsize, memory_bytes):
            values = np.asarray(read(block))
            if values.shape != tuple(part.stop - part.start for part in block):
                raise ValueError(f"the reader gave values of shape {values.shape} for {block}")
            if pipeline is None or not np.can_cast(values.dtype, dataset.dtype, "safe"):
                dataset[block] = values  # HDF5 knows how to convert them
                raise_failure(name)
            else:
                for part in split_at_chunks(block, pipeline.chunks):
                    inside = shift_selection(part, find_start(block))
                    size = math.prod(values[inside].shape) * values.itemsize
                    # A waiting result holds its whole block; the oldest are stored first, so blocks go in order.
                    while waiting and waiting_bytes + size > memory_bytes // 2:
                        waiting_bytes -= store()
                    encoded = submit(workers, encode_chunk, pipeline, values[inside], level)
                    waiting.append((find_start(part), size, encoded))
                    waiting_bytes += size
                while waiting and waiting[0][2].done():
                    waiting_bytes -= store()
            if progress is not None:
                progress(values.nbytes)
        while waiting:
            store()


def read_chunked(
    dataset: h5py.Dataset,
    selection: slice | Selection = (),
    *,
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Read a part of a dataset, decompressing in threads.

    Parameters
    ----------
    dataset : h5py.Dataset
        Any; what is not stored as gzip (with or without shuffle) or plain chunks is read by h5py.
    selection : slice or tuple of slices
        One for each of the leading axes, of step 1; the other axes are read whole.
    out : numpy.ndarray, optional
        Where to put the values: of the selection's shape and the dataset's type.
    threads : int, optional
        Default: one for each core.

    Returns
    -------
    numpy.ndarray
        Equal to ``dataset[selection]``.

    Raises
    ------
    OSError
        If a chunk is damaged.
    """
    parts = selection if isinstance(selection, tuple) else (selection,)
    parts += (slice(None),) * (dataset.ndim - len(parts))
    ranges = [part.indices(size) for part, size in zip(parts, dataset.shape, strict=True)]
    if any(step != 1 for _, _, step in ranges):
        raise ValueError("a selection of step 1 is needed")
    block = tuple(slice(start, max(start, stop)) for start, stop, _ in ranges)
    shape = tuple(part.stop - part.start for part in block)
    values = np.empty(shape, dataset.dtype) if out is None else out
    pipeline = FilterPipeline.of(dataset)
    if not values.size:
        return values
    if pipeline is None or values.nbytes < _SMALL:
        dataset.read_direct(values, block)
        return values

    def place(part: Selection, offset: tuple[int, ...], data: bytes, skipped: int) -> None:
        target = values[shift_selection(part, find_start(block))]
        if (target.shape, target.dtype) == (pipeline.chunks, pipeline.dtype) and target.flags.c_contiguous:
            pipeline.decode(data, skipped, target)
            return
        target[...] = pipeline.decode(data, skipped)[shift_selection(part, offset)]

    count = threads or count_cores()
    waiting: deque[Future[None]] = deque()
    try:
        with _open_thread_pool(count) as workers:
            for part in split_at_chunks(block, pipeline.chunks):
                offset = find_chunk(part, pipeline.chunks)
                stored = read_stored_chunk(dataset, offset)
                if stored is None:
                    values[shift_selection(part, find_start(block))] = dataset.fillvalue
                    continue
                waiting.append(submit(workers, place, part, offset, stored[1], stored[0]))
                while len(waiting) > 2 * count or (waiting and waiting[0].done()):
                    waiting.popleft().result()
            while waiting:
                waiting.popleft().result()
    except ValueError as error:
        raise OSError(f"{dataset.file.filename}: {dataset.name}: {error}") from error
    return values


def can_decode_chunks(dataset: h5py.Dataset) -> bool:
    """Tell whether `read_chunked` reads a dataset in threads, or leaves it to h5py."""
    return FilterPipeline.of(dataset) is not None


def count_cores() -> int:
    """Cores that this process may use: on a cluster's node fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def submit(workers: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> Future[T]:
    """Call a function in a thread; in this one where no thread can begin, as while the interpreter ends."""
    try:
        return workers.submit(function, *arguments)
    except RuntimeError:
        future: Future[T] = Future()
        future.set_result(function(*arguments))
        return future


@contextmanager
def _open_thread_pool(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that end with the block; after an error what has not begun is dropped."""
    workers = ThreadPoolExecutor(count, thread_name_prefix="nwbpipe-chunks")
    try:
        yield workers
    except BaseException:
        workers.shutdown(wait=True, cancel_futures=True)
        raise
    workers.shutdown(wait=True)


def _iter_blocks(shape: tuple[int, ...], chunks: tuple[int, ...], itemsize: int, memory: int) -> Iterator[Selection]:
    """Cut a shape into blocks of whole chunks, in C order.

    Whole rows of chunks where a quarter of the memory holds one, since a source may have to decode all channels to
    give some; else parts of a row, at least a chunk.
    """
    for axis in range(len(shape)):
        # One chunk along this axis and those before it, everything along those behind it.
        row = itemsize * math.prod(chunks[: axis + 1]) * math.prod(shape[axis + 1 :])
        if row <= memory // 4 or axis == len(shape) - 1:
            count = max(1, min(_BLOCK_BYTES, memory // 8) // row)
            steps = (*chunks[:axis], chunks[axis] * count, *shape[axis + 1 :])
            break
    ranges = [range(0, size, step) for size, step in zip(shape, steps, strict=True)]
    for starts in itertools.product(*ranges):
        yield tuple(slice(a, min(a + step, size)) for a, step, size in zip(starts, steps, shape, strict=True))


def split_at_chunks(block: Selection, chunks: tuple[int, ...]) -> Iterator[Selection]:
    """Cut a selection at the borders of chunks, in C order."""
    axes = []
    for part, size in zip(block, chunks, strict=True):
        borders = [part.start, *range((part.start // size + 1) * size, part.stop, size), part.stop]
        axes.append([slice(start, stop) for start, stop in itertools.pairwise(borders)])
    return itertools.product(*axes)


def find_start(selection: Selection) -> Offset:
    """Return where a selection begins."""
    return tuple(part.start for part in selection)


def find_chunk(part: Selection, chunks: tuple[int, ...]) -> Offset:
    """Return the offset of the chunk that a part of it lies in."""
    return tuple(piece.start // size * size for piece, size in zip(part, chunks, strict=True))


def shift_selection(part: Selection, origin: Offset) -> Selection:
    """Return the same selection of an array that begins at `origin`."""
    return tuple(slice(piece.start - first, piece.stop - first) for piece, first in zip(part, origin, strict=True))
