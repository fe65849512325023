"""The bytes of a chunk: HDF5's shuffle and deflate filters, without HDF5 and without the interpreter's lock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import h5py
import numpy as np
from isal import igzip_lib, isal_zlib

from nwbpipe.errors import RequestError

LEVEL = 1  # of ISA-L: 0 to 3; on shuffled noise the higher ones take longer and save nothing


class Codec(StrEnum):
    """How the chunks of a dataset are stored.

    ``gzip`` is HDF5's shuffle and deflate, which every HDF5 reader has; ``zstd`` is Blosc's zstd with
    shuffle, smaller, for readers that have the plugin (the package hdf5plugin); ``none`` leaves them as they are.
    """

    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "none"

    def options(self) -> dict[str, Any]:
        """Return the filters, as `h5py.Group.create_dataset` and hdmf's `H5DataIO` take them.

        Raises
        ------
        RequestError
            If zstd is asked for and its plugin is not installed.
        """
        if self is Codec.NONE:
            return {}
        if self is Codec.GZIP:  # the level in the file is only what HDF5 would use if it wrote a chunk again
            return {"compression": "gzip", "compression_opts": 4, "shuffle": True}
        try:
            from hdf5plugin import Blosc
        except ImportError:
            raise RequestError("zstd needs the package hdf5plugin", hint="pip install hdf5plugin") from None
        return dict(Blosc(cname="zstd", clevel=3, shuffle=Blosc.SHUFFLE))


@dataclass(frozen=True)
class FilterPipeline:
    """The filters of one dataset, and the shape and type of its chunks.

    Parameters
    ----------
    chunks : tuple of int
        Shape of a chunk, that of the edge too: HDF5 stores edge chunks whole.
    dtype : numpy.dtype
        Of the stored values, byte order included.
    shuffle, deflate : bool
        Whether that filter is in the pipeline.
    """

    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    shuffle: bool
    deflate: bool

    @classmethod
    def of(cls, dataset: h5py.Dataset) -> FilterPipeline | None:
        """Return the pipeline of a dataset, or None where only HDF5 knows how to code it."""
        if dataset.chunks is None or dataset.dtype.kind not in "biufc":
            return None
        # The stored bytes must be numpy's: no integers of 12 bits, no exotic floats.
        if h5py.h5t.py_create(dataset.dtype, logical=True) != dataset.id.get_type():
            return None
        if dataset.dtype.char in "gG":  # long doubles: what is in their padding is undefined
            return None
        filters = dataset.id.get_create_plist()
        codes = tuple(filters.get_filter(number)[0] for number in range(filters.get_nfilters()))
        shuffle, deflate = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE
        if codes not in ((), (deflate,), (shuffle, deflate)):
            return None
        return cls(dataset.chunks, dataset.dtype, shuffle in codes, deflate in codes)

    @property
    def nbytes(self) -> int:
        """Bytes of a chunk before the filters."""
        return math.prod(self.chunks) * self.dtype.itemsize

    def encode(self, values: np.ndarray, level: int = LEVEL) -> bytes:
        """Return the stored bytes of one chunk.

        Parameters
        ----------
        values : numpy.ndarray
            Of the shape of a chunk, or smaller at the edge of the dataset: the rest is filled with zeros.
        level : int
            ISA-L's level, 0 to 3.
        """
        if values.shape == self.chunks:
            chunk = np.ascontiguousarray(values, dtype=self.dtype)
        else:
            chunk = np.zeros(self.chunks, self.dtype)
            chunk[tuple(slice(0, size) for size in values.shape)] = values
        data = shuffle_bytes(chunk) if self.shuffle else chunk.reshape(-1).view(np.uint8)
        return isal_zlib.compress(data, level) if self.deflate else data.tobytes()

    def decode(self, data: bytes, skipped: int = 0, out: np.ndarray | None = None) -> np.ndarray:
        """Return the values of one chunk out of its stored bytes.

        Parameters
        ----------
        data : bytes
            As stored.
        skipped : int
            HDF5's mask of filters that this chunk went without (bit 0 is the first one).
        out : numpy.ndarray, optional
            Where to put them: C-contiguous, of a chunk's shape and type.

        Raises
        ------
        ValueError
            If the bytes are no chunk of this dataset.
        """
        if self.deflate and not skipped >> int(self.shuffle) & 1:
            try:
                data = isal_zlib.decompress(data, bufsize=self.nbytes)
            except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub has no base
                raise ValueError(f"damaged chunk: {error}") from error
        if len(data) != self.nbytes:
            raise ValueError(f"damaged chunk: {len(data)} bytes instead of {self.nbytes}")
        if self.shuffle and not skipped & 1:
            return unshuffle_bytes(data, self.dtype, None if out is None else out.reshape(-1)).reshape(self.chunks)
        values = np.frombuffer(data, self.dtype).reshape(self.chunks)
        if out is None:
            return values
        out[...] = values
        return out


def shuffle_bytes(values: np.ndarray) -> np.ndarray:
    """Return the bytes of a C-contiguous array as HDF5's shuffle filter orders them.

    First the first byte of every element, then the second ones, and so on. A chunk holds whole elements only, so
    nothing remains behind them.

    Returns
    -------
    numpy.ndarray
        1-D, uint8.
    """
    size = values.dtype.itemsize
    flat = values.reshape(-1).view(np.uint8)
    if size == 1:
        return flat
    planes = np.empty((size, values.size), np.uint8)
    if size == 2:  # what most recordings are: four times as fast as the general way
        pairs = flat.view("<u2")
        np.bitwise_and(pairs, 0xFF, out=planes[0], casting="unsafe")
        np.right_shift(pairs, 8, out=planes[1], casting="unsafe")
        return planes.reshape(-1)
    for number, plane in enumerate(planes):
        plane[:] = flat[number::size]
    return planes.reshape(-1)


def unshuffle_bytes(data: bytes | np.ndarray, dtype: np.dtype[Any], out: np.ndarray | None = None) -> np.ndarray:
    """Return the elements of `dtype` (1-D, in `out` where it is given) whose shuffled bytes are `data`."""
    size = dtype.itemsize
    planes = np.frombuffer(data, np.uint8).reshape(size, -1)
    values = np.empty(planes.shape[1], dtype) if out is None else out
    if size == 2:  # as above; not in pieces: threads would wait for each other between them
        pairs = values.view("<u2")
        np.left_shift(planes[1], 8, out=pairs, dtype="<u2", casting="unsafe")
        np.bitwise_or(pairs, planes[0], out=pairs)
        return values
    elements = values.view(np.uint8).reshape(-1, size)
    for number, plane in enumerate(planes):
        elements[:, number] = plane
    return values
