"""Read a movie of an NWB file in threads.

h5py decompresses one chunk after the other. Here the stored chunks are read as they are, and decoded in threads;
where the file has filters that `nwbpipe_kit.chunks` does not know, h5py does it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import h5py
import numpy as np

from nwbpipe_kit.chunks import FilterPipeline, read_stored_chunk

Progress = Callable[[float, str], None]

INT16_MAX = 32767
# suite2p clips registered frames at 2**15 - 2, so floats are scaled to stay below.
FLOAT_LIMIT = 30000.0
GROUP_BYTES = 64 * 1024**2


class ChunkReader:
    """Frames of a dataset (frames, x, y[, planes]), as they are stored.

    Parameters
    ----------
    data : h5py.Dataset
    threads : int
        How many inflate chunks; with one, h5py reads.
    """

    def __init__(self, data: h5py.Dataset, threads: int = 1) -> None:
        self.data = data
        self.pipeline = FilterPipeline.of(data) if threads > 1 else None
        self.pool = ThreadPoolExecutor(threads) if self.pipeline is not None else None
        self.last_row: Dict[Any, np.ndarray] = {}  # chunks; the next read often needs the rest of their frames

    @property
    def direct(self) -> bool:
        """True if chunks are decoded here, in threads."""
        return self.pool is not None

    def close(self) -> None:
        """End the threads."""
        if self.pool is not None:
            self.pool.shutdown()

    def read_frames(self, indices: np.ndarray, plane: Optional[int] = None) -> np.ndarray:
        """Return the frames of these indices, in their order: (n, x, y), or (n, x, y, planes) without a `plane`.

        Raises
        ------
        OSError
            If a chunk is damaged.
        """
        indices = np.asarray(indices, dtype=np.int64)
        last = self.data.shape[3:] if plane is None else ()
        out = np.empty((len(indices), *self.data.shape[1:3], *last), self.data.dtype)
        if self.pool is None:
            return self._read_by_h5py(indices, plane, out)
        return self._read_by_chunks(indices, plane, out)

    def _read_by_h5py(self, indices: np.ndarray, plane: Optional[int], out: np.ndarray) -> np.ndarray:
        other_axes: Any = (Ellipsis,) if plane is None else (Ellipsis, plane)
        if len(indices) and (np.diff(indices) == 1).all():
            out[...] = self.data[(slice(int(indices[0]), int(indices[-1]) + 1), *other_axes)]
        else:  # one by one: h5py's own selection by a list of indices is slower still
            for k, index in enumerate(indices):
                out[k] = self.data[(int(index), *other_axes)]
        return out

    def _read_by_chunks(self, indices: np.ndarray, plane: Optional[int], out: np.ndarray) -> np.ndarray:
        data, chunk = self.data, self.data.chunks
        axes: List[Sequence[int]] = [range(0, size, step) for size, step in zip(data.shape[1:3], chunk[1:3])]
        if data.ndim == 4:
            axes.append(range(0, data.shape[3], chunk[3]) if plane is None else [plane // chunk[3] * chunk[3]])
        corners = list(product(*axes))
        row_of_frame = indices // chunk[0]
        rows = list(dict.fromkeys(row_of_frame.tolist()))
        row_bytes = int(np.prod(chunk)) * data.dtype.itemsize * len(corners)
        group = max(1, GROUP_BYTES // max(1, row_bytes))
        for start in range(0, len(rows), group):
            group_rows = rows[start : start + group]
            jobs = [(row, corner, self._start_chunk(row, corner)) for row in group_rows for corner in corners]
            self.last_row = {}
            for row, corner, job in jobs:
                values = self._finish_chunk(job)
                if row == group_rows[-1]:
                    self.last_row[row, corner] = values
                frames = np.flatnonzero(row_of_frame == row)
                inner: Any = tuple(
                    slice(0, min(step, size - at)) for at, step, size in zip(corner, chunk[1:], data.shape[1:])
                )
                target: Any = tuple(slice(at, at + cut.stop) for at, cut in zip(corner, inner))
                part = values[indices[frames] - row * chunk[0]]
                if data.ndim == 4 and plane is not None:
                    out[(frames, *target[:2])] = part[(slice(None), *inner[:2], plane - corner[2])]
                else:
                    out[(frames, *target)] = part[(slice(None), *inner)]
        return out

    def _start_chunk(self, row: int, corner: Tuple[int, ...]) -> Any:
        """Begin to decode a chunk, unless the last read left it."""
        if (row, corner) in self.last_row:
            return self.last_row[row, corner]
        assert self.pool is not None
        assert self.pipeline is not None
        stored = read_stored_chunk(self.data, (row * self.data.chunks[0], *corner))
        if stored is None:
            return np.full(self.data.chunks, self.data.fillvalue, self.data.dtype)
        return self.pool.submit(self.pipeline.decode, stored[1], stored[0])

    def _finish_chunk(self, job: Any) -> np.ndarray:
        try:
            values: np.ndarray = job if isinstance(job, np.ndarray) else job.result()
        except ValueError as error:
            raise OSError("%s: %s: %s" % (self.data.file.filename, self.data.name, error)) from error
        return values


class Movie:
    """One plane of a movie, as int16 frames (frames, y, x): what suite2p takes for a file.

    Values are ``stored / scale``; integers are rounded down. `scale` is 1 where the stored values fit.

    Attributes
    ----------
    constant : ndarray, bool, shape (frames,)
        Which of the frames that were read so far (by slices) had one value only.
    """

    def __init__(
        self,
        data: Any,
        scale: float,
        on_read: Optional[Callable[[int], None]] = None,
        plane: Optional[int] = None,
        threads: int = 1,
    ) -> None:
        self.reader = ChunkReader(data, threads)
        self.scale = scale
        self.on_read = on_read
        self.plane = plane
        frames, nx, ny = data.shape[:3]
        self.shape = (frames, ny, nx)
        self.constant = np.zeros(frames, dtype=bool)

    def __getitem__(self, item: Any) -> np.ndarray:
        indices = np.arange(self.shape[0])[item] if isinstance(item, slice) else np.atleast_1d(item)
        frames = self.reader.read_frames(indices, self.plane)
        if isinstance(item, slice) and len(indices):
            flat = frames.reshape(len(frames), -1)
            self.constant[indices] = flat.min(axis=1) == flat.max(axis=1)
            if self.on_read is not None:
                self.on_read(int(indices[-1]) + 1)
        return np.ascontiguousarray(self.cast(frames).transpose(0, 2, 1))

    def cast(self, frames: np.ndarray) -> np.ndarray:
        """Scale stored values into int16."""
        if frames.dtype.kind in "iub":
            if self.scale != 1:
                frames = frames // frames.dtype.type(self.scale)
            return frames.astype(np.int16)
        return np.round(frames.astype(np.float64) / self.scale).astype(np.int16)

    def blocks(self) -> range:
        """Return starts of blocks of about 64 MiB, for a pass over the whole movie."""
        step = max(1, GROUP_BYTES // max(1, 2 * self.shape[1] * self.shape[2]))
        return range(0, self.shape[0], step)


def intensity_scale(data: Any, progress: Progress, threads: int = 1) -> float:
    """Return the divisor that brings the stored values into int16: 1 if they are there already.

    suite2p's own readers halve every uint16 movie. Here the movie is divided only if its values don't fit.

    Raises
    ------
    TypeError
        The values are no integers or floats.
    ValueError
        There are NaN or infinite values.
    """
    kind, size = data.dtype.kind, data.dtype.itemsize
    if kind == "b" or (kind == "i" and size <= 2) or (kind == "u" and size == 1):
        return 1
    if kind not in "iuf":
        raise TypeError("the movie's values are of type %s; expected integers or floats" % data.dtype)
    frames = data.shape[0]
    step = max(1, GROUP_BYTES // max(1, int(np.prod(data.shape[1:])) * size))
    if data.chunks:
        step = max(step // data.chunks[0], 1) * data.chunks[0]
    largest = 0.0
    reader = ChunkReader(data, threads)
    for start in range(0, frames, step):
        block = reader.read_frames(np.arange(start, min(start + step, frames)))
        low, high = float(block.min()), float(block.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError(
                "the movie holds NaN or infinite values (frames %d to %d); no method here can use it"
                % (start, min(start + step, frames) - 1)
            )
        largest = max(largest, high, -low)
        progress(0.04 * min(start + step, frames) / frames, "range of values")
    reader.close()
    if kind == "f":
        return largest / FLOAT_LIMIT if largest > 0 else 1
    scale = 1
    while largest // scale > INT16_MAX:
        scale *= 2
    return scale
