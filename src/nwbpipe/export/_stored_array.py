"""The values of a series that stay in the session file until they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import ConflictError
from nwbpipe.export._read_series import Series
from nwbpipe.files import WindowReader
from nwbpipe.session import SessionFile, SessionReader


class StoredArray:
    """Values of a series in its unit, read from the session file as they are asked for.

    The file is opened for each reading, and closed: a commit of another process does not wait for it, and it can be
    used in other processes.

    Parameters
    ----------
    session : SessionFile
    series : Series
    first, stop : int
        The samples that it has.
    confidence : bool
        The confidence of the samples in place of their values.

    Attributes
    ----------
    shape : tuple of int
        Samples first.
    dtype : numpy.dtype
        That of the stored values; float64 (float32 for 16 bits and less, and for float32) if they are scaled.
    """

    def __init__(
        self, session: SessionFile, series: Series, first: int, stop: int, *, confidence: bool = False
    ) -> None:
        self.session, self.series = session, series
        self._first, self._confidence = first, confidence
        self._windows = WindowReader()
        self.shape = (stop - first, *(() if confidence else series.shape[1:]))
        small = series.dtype.itemsize <= 2 or series.dtype == np.float32
        scaled = np.dtype(np.float32 if small else np.float64)
        self.dtype = np.dtype(np.float64) if confidence else scaled if series.is_converted else series.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<StoredArray {self.series.path} of {self.session}, {self.shape}, {self.dtype}>"

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[number] for number in range(len(self)))  # libraries ask for it, to see if there is one

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        values = self[:]
        return values if dtype is None else values.astype(dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return self.session.read(lambda reader: self.read(reader, key))

    def read(self, reader: SessionReader, key: Any = ()) -> NDArray[Any]:
        """Return some of the values from the open file.

        Raises
        ------
        ConflictError
            If another series stands at the path by now.
        """
        file, series = reader.file, self.series
        path = series.confidence if self._confidence else series.data
        group, dataset = file.get(series.path), file.get(str(path))
        same = isinstance(dataset, h5py.Dataset) and dataset.shape[0] == series.times.count
        if not same or group is None or str(group.attrs.get("object_id", "")) != series.object_id:
            msg = "the series was replaced or removed since it was looked up"
            raise ConflictError(msg, where=f"{self.session}: {series.path}", hint="export the file again")
        samples, *columns = self._expand(key if isinstance(key, tuple) else (key,))
        order = None
        if isinstance(samples, np.ndarray):  # HDF5 takes increasing numbers alone
            samples, order = np.unique(samples, return_inverse=True)
        keys = (samples, *columns)
        values = np.asarray(self._windows.read(dataset, keys, reader.version))
        values = values if order is None else values[order]
        if self._confidence or not series.is_converted:
            return values.astype(self.dtype, copy=False)
        scale = np.asarray(series.scale, dtype=np.float64)
        if scale.ndim:  # of each column: they are what the second index leaves
            scale = scale[keys[1]] if len(keys) > 1 else scale
            behind = values.ndim - (0 if isinstance(keys[0], int | np.integer) else 1) - scale.ndim
            scale = scale.reshape(scale.shape + (1,) * max(behind, 0))
        return np.asarray(values * scale + series.offset, dtype=self.dtype)

    def _expand(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return an index into the whole dataset, whose samples are a number, a slice or an array."""
        if any(part is Ellipsis for part in key):
            at = next(number for number, part in enumerate(key) if part is Ellipsis)
            key = (*key[:at], *(slice(None),) * (self.ndim - len(key) + 1), *key[at + 1 :])
        samples, *columns = key or (slice(None),)
        if isinstance(samples, slice):
            start, stop, step = samples.indices(len(self))
            if step < 0:
                return (np.arange(start, stop, step) + self._first, *columns)
            return (slice(start + self._first, max(start, stop) + self._first, step), *columns)
        if isinstance(samples, int | np.integer):
            if not -len(self) <= samples < len(self):
                msg = f"sample {samples} of {len(self)}"
                raise IndexError(msg)
            return (int(samples) % len(self) + self._first, *columns)
        chosen = np.asarray(samples)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else np.where(chosen < 0, chosen + len(self), chosen)
        return (chosen + self._first, *columns)
