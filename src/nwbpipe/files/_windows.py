"""Windows of a large dataset, one after the other: decoded in threads, and the next one while the caller works."""

from __future__ import annotations

import math
import os
import weakref
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from nwbpipe.files._chunks import (
    Offset,
    Selection,
    count_cores,
    find_chunk,
    find_start,
    read_chunked,
    shift_selection,
    split_at_chunks,
    submit,
)
from nwbpipe_kit.chunks import FilterPipeline, read_stored_chunk

_MOST_BYTES = 64 * 2**20  # of decoded chunks that a reader keeps
_MOST_READERS = 4  # that keep any: an analysis has thousands of arrays, and reads few of them in order
_keeping: deque[weakref.ref[WindowReader]] = deque()
_QUICK_BYTES = 2**16  # out of chunks that HDF5 keeps decoded: so few it reads itself before threads have begun


@dataclass(frozen=True)
class _Kept:
    """What a reader keeps: replaced as a whole and never changed, so that threads can read at once.

    Attributes
    ----------
    state : tuple of (hashable, int), optional
        Version of the file, and process: a fork has no threads that would finish what was begun.
    stop : int, optional
        Where the last window ended.
    chunks : dict
        Chunks by their offsets.
    """

    state: tuple[Hashable, int] | None = None
    stop: int | None = None
    chunks: dict[Offset, Future[np.ndarray]] = field(default_factory=dict)


class WindowReader:
    """Reads windows of one dataset.

    Where windows follow each other, the chunks at their border are decoded once, and those of the next window are
    read from the file with this one, which takes little, and decoded in threads while the caller works with this
    one. The file may be closed between. Windows at random places, and those with many chunks, are read as by
    `read_chunked`.

    Parameters
    ----------
    quick_values : int
        So many values, or fewer, are left to h5py.
    """

    def __init__(self, quick_values: int = 0) -> None:
        self._quick_values = quick_values
        self._kept = _Kept()

    def __reduce__(self) -> tuple[type[WindowReader], tuple[int]]:
        return WindowReader, (self._quick_values,)  # for another process: it has no threads of this one

    def read(self, dataset: h5py.Dataset, key: Any, version: Hashable) -> Any:
        """Return ``dataset[key]``.

        Parameters
        ----------
        dataset : h5py.Dataset
            The same one in each call, or what stands in its place in another version of the file.
        key : index
            Of numbers and slices of step 1, or any other: then h5py reads.
        version : hashable
            Of the file: what was kept of another one is dropped.

        Raises
        ------
        OSError
            If a chunk is damaged.
        """
        block, inside = _find_block(key, dataset.shape) or (None, ())
        if block is None or math.prod(part.stop - part.start for part in block) <= self._quick_values:
            return h5py.Dataset.__getitem__(dataset, key)
        return self._read_block(dataset, block, version)[inside]

    def _read_block(self, dataset: h5py.Dataset, block: Selection, version: Hashable) -> np.ndarray:
        state = (version, os.getpid())
        kept, self._kept = self._kept, _Kept(state, block[0].stop)  # after an error nothing is kept
        follows = kept.state == state and kept.stop == block[0].start
        pipeline = FilterPipeline.of(dataset) if follows else None
        if pipeline is None or not pipeline.deflate or not 0 < _count_bytes(block, pipeline) <= _MOST_BYTES:
            return read_chunked(dataset, block)
        chunks = dict(kept.chunks)
        workers = ThreadPoolExecutor(count_cores(), thread_name_prefix="nwbpipe-windows")
        try:
            decoder = _Decoder(dataset, pipeline, workers, chunks)
            parts = [(part, decoder.begin(part)) for part in split_at_chunks(block, pipeline.chunks)]
            ahead = decoder.begin_next(block)
            values = np.empty(tuple(part.stop - part.start for part in block), dataset.dtype)
            for part, offset in parts:
                inside = shift_selection(part, offset)
                values[shift_selection(part, find_start(block))] = chunks[offset].result()[inside]
        except ValueError as error:
            raise OSError(f"{dataset.file.filename}: {dataset.name}: {error}") from error
        finally:
            workers.shutdown(wait=False)  # the threads end with what was begun
        self._kept = _Kept(state, block[0].stop, {offset: chunks[offset] for offset in ahead})
        self._register()
        return values

    def _register(self) -> None:
        """Count this reader among those that keep chunks; the one that was read from longest ago drops its own.

        Without a lock, which a fork might find taken for ever: each step is one of the deque's own.
        """
        for reference in _keeping.copy():
            if reference() in (None, self):
                with suppress(ValueError):
                    _keeping.remove(reference)
        _keeping.append(weakref.ref(self))
        with suppress(IndexError):
            while len(_keeping) > _MOST_READERS:
                oldest = _keeping.popleft()()
                if oldest is not None:
                    oldest._kept = _Kept()


def _count_bytes(block: Selection, pipeline: FilterPipeline) -> int:
    """Return the decoded size of the chunks that a block lies in."""
    counts = [
        -(-part.stop // size) - part.start // size if part.start < part.stop else 0
        for part, size in zip(block, pipeline.chunks, strict=True)
    ]
    return math.prod(counts) * pipeline.nbytes


class ThreadedDataset(h5py.Dataset):  # type: ignore[misc]  # h5py is untyped
    """A dataset of an open file that is read as by `WindowReader`; all else is h5py's.

    Parameters
    ----------
    dataset : h5py.Dataset
        In chunks, of a file that does not change while it is open.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        super().__init__(dataset.id, readonly=dataset.file.mode == "r")  # then h5py asks for the shape once
        cache_bytes = self.id.get_access_plist().get_chunk_cache()[1]
        stays_decoded = math.prod(self.chunks) * self.dtype.itemsize <= cache_bytes
        # As where a loop takes one value after the other.
        self._windows = WindowReader(_QUICK_BYTES // self.dtype.itemsize if stays_decoded else 0)

    def __getitem__(self, args: Any, new_dtype: Any = None) -> Any:
        if new_dtype is not None:
            return super().__getitem__(args, new_dtype)
        return self._windows.read(self, args, None)

    def __array__(self, dtype: Any = None, copy: bool | None = True) -> np.ndarray:
        if copy is False:
            raise ValueError("values that are in a file are copied")
        return np.asarray(self[()], dtype)


def _find_block(key: Any, shape: tuple[int, ...]) -> tuple[Selection, tuple[int | slice, ...]] | None:
    """Return the block that a key of numbers and slices takes, and the index of its values in it; None for others."""
    parts = key if isinstance(key, tuple) else (key,)
    dots = [number for number, part in enumerate(parts) if part is Ellipsis]
    if dots:
        parts = (*parts[: dots[0]], *(slice(None),) * (len(shape) + 1 - len(parts)), *parts[dots[0] + 1 :])
    if len(parts) > len(shape):
        return None
    block: list[slice] = []
    inside: list[int | slice] = []
    for part, size in zip(parts, shape, strict=False):
        if isinstance(part, slice) and part.step in (None, 1):
            start, stop, _ = part.indices(size)
            block.append(slice(start, max(start, stop)))
            inside.append(slice(None))
        elif isinstance(part, int | np.integer) and not isinstance(part, bool) and -size <= part < size:
            block.append(slice(int(part) % size, int(part) % size + 1))
            inside.append(0)
        else:
            return None
    block += [slice(0, size) for size in shape[len(parts) :]]
    return tuple(block), tuple(inside)


class _Decoder:
    """Begins to decode chunks of a dataset in threads; `chunks` has those that were begun, by their offsets."""

    def __init__(
        self,
        dataset: h5py.Dataset,
        pipeline: FilterPipeline,
        workers: ThreadPoolExecutor,
        chunks: dict[Offset, Future[np.ndarray]],
    ) -> None:
        self._dataset, self._pipeline, self._workers, self._chunks = dataset, pipeline, workers, chunks

    def begin(self, part: Selection) -> Offset:
        """Begin with the chunk that a part lies in, unless that was done; return its offset."""
        offset = find_chunk(part, self._pipeline.chunks)
        if offset not in self._chunks:
            stored = read_stored_chunk(self._dataset, offset)
            if stored is None:
                fill = np.asarray(self._dataset.fillvalue, self._dataset.dtype)
                self._chunks[offset] = Future()
                self._chunks[offset].set_result(np.broadcast_to(fill, self._pipeline.chunks))
            else:
                self._chunks[offset] = submit(self._workers, self._pipeline.decode, stored[1], stored[0])
        return offset

    def begin_next(self, block: Selection) -> set[Offset]:
        """Begin with a window of a block's length behind it, a chunk for each core at least; return its chunks."""
        length = max(block[0].stop - block[0].start, count_cores() * self._pipeline.chunks[0])
        first = block[0].stop
        stop = min(first + length, len(self._dataset))
        begun: set[Offset] = set()
        if first < stop:
            for part in split_at_chunks((slice(first, stop), *block[1:]), self._pipeline.chunks):
                if (len(begun) + 1) * self._pipeline.nbytes > _MOST_BYTES:
                    break
                begun.add(self.begin(part))
        return begun
