"""Windows of a large dataset, one after the other: decoded in threads, and the next one while the caller works."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import h5py
import numpy as np

from nwbpipe.files._chunks import (
    Selection,
    count_cores,
    read_chunked,
    shift_selection,
    split_at_chunks,
)
from nwbpipe_kit.chunks import FilterPipeline, read_stored_chunk

_MOST_BYTES = 64 * 2**20  # of decoded chunks that a reader keeps
_MOST_READERS = 4  # that keep any: an analysis has thousands of arrays, and reads few of them in order
_keeping: deque[weakref.ref[WindowReader]] = deque()


class WindowReader:
    """Reads windows of one dataset.

    Where windows follow each other, the chunks at their border are decoded once, and those of the next window are
    read from the file with this one, which takes little, and decoded in threads while the caller works with this
    one. The file may be closed between. Windows at random places are read as by `read_chunked`.
    """

    def __init__(self) -> None:
        self._chunks: dict[tuple[int, ...], Future[np.ndarray]] = {}
        self._state: tuple[Hashable, int] | None = None
        self._stop: int | None = None

    def __reduce__(self) -> tuple[type[WindowReader], tuple[()]]:
        return WindowReader, ()  # for another process: it has no threads of this one

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
        chosen = _find_block(key, dataset.shape)
        if chosen is None:
            return h5py.Dataset.__getitem__(dataset, key)
        block, inside = chosen
        return self._read_block(dataset, block, version)[inside]

    def _read_block(self, dataset: h5py.Dataset, block: Selection, version: Hashable) -> np.ndarray:
        state = (version, os.getpid())  # a fork has no threads that would finish what was begun
        if state != self._state:
            self._chunks, self._state, self._stop = {}, state, None
        follows, self._stop = block[0].start == self._stop, block[0].stop
        pipeline = FilterPipeline.of(dataset) if follows else None
        if pipeline is None or not pipeline.deflate or any(part.start >= part.stop for part in block):
            self._chunks = {}
            return read_chunked(dataset, block)
        self._register()
        chunks, self._chunks = self._chunks, {}  # after an error nothing is kept
        workers = ThreadPoolExecutor(count_cores(), thread_name_prefix="nwbpipe-windows")
        try:
            decoder = _Decoder(dataset, pipeline, workers, chunks)
            parts = [(part, decoder.begin(part)) for part in split_at_chunks(block, pipeline.chunks)]
            kept = decoder.begin_next(block)
            values = np.empty(tuple(part.stop - part.start for part in block), dataset.dtype)
            for part, offset in parts:
                inside = tuple(
                    slice(piece.start - first, piece.stop - first) for piece, first in zip(part, offset, strict=True)
                )
                values[shift_selection(part, block)] = chunks[offset].result()[inside]
        except ValueError as error:
            raise OSError(f"{dataset.file.filename}: {dataset.name}: {error}") from error
        finally:
            workers.shutdown(wait=False)  # the threads end with what was begun
        self._chunks = {offset: chunks[offset] for offset in kept}
        return values

    def _register(self) -> None:
        """Count this reader among those that keep chunks; the one that was read from longest ago drops its own."""
        for reference in [reference for reference in _keeping if reference() in (None, self)]:
            _keeping.remove(reference)
        _keeping.append(weakref.ref(self))
        while len(_keeping) > _MOST_READERS:
            oldest = _keeping.popleft()()
            if oldest is not None:
                oldest._chunks = {}


class ThreadedDataset(h5py.Dataset):  # type: ignore[misc]  # h5py is untyped
    """A dataset of an open file that is read as by `WindowReader`; all else is h5py's.

    Parameters
    ----------
    dataset : h5py.Dataset
        In chunks, of a file that does not change while it is open.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        super().__init__(dataset.id)
        self._windows = WindowReader()

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
        chunks: dict[tuple[int, ...], Future[np.ndarray]],
    ) -> None:
        self._dataset, self._pipeline, self._workers, self._chunks = dataset, pipeline, workers, chunks

    def begin(self, part: Selection) -> tuple[int, ...]:
        """Begin with the chunk that a part lies in, unless that was done; return its offset."""
        shape = self._pipeline.chunks
        offset = tuple(piece.start // size * size for piece, size in zip(part, shape, strict=True))
        if offset not in self._chunks:
            stored = read_stored_chunk(self._dataset, offset)
            if stored is None:
                fill = np.asarray(self._dataset.fillvalue, self._dataset.dtype)
                self._chunks[offset] = Future()
                self._chunks[offset].set_result(np.broadcast_to(fill, shape))
            else:
                self._chunks[offset] = self._workers.submit(self._pipeline.decode, stored[1], stored[0])
        return offset

    def begin_next(self, block: Selection) -> set[tuple[int, ...]]:
        """Begin with a window of a block's length behind it, a chunk for each core at least; return its chunks."""
        length = max(block[0].stop - block[0].start, count_cores() * self._pipeline.chunks[0])
        first = block[0].stop
        stop = min(first + length, len(self._dataset))
        begun: set[tuple[int, ...]] = set()
        if first < stop:
            for part in split_at_chunks((slice(first, stop), *block[1:]), self._pipeline.chunks):
                if (len(begun) + 1) * self._pipeline.nbytes > _MOST_BYTES:
                    break
                begun.add(self.begin(part))
        return begun
