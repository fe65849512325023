"""Write the bytes of a chunk: HDF5's shuffle and deflate filters, without HDF5 and without the interpreter's lock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib

from nwbpipe.errors import RequestError
from nwbpipe_kit.chunks import FilterPipeline, stores_plain_chunks

_BLOSC, _BLOSC_ZSTD = 32001, 5  # numbers of the HDF Group, and of Blosc
LEVEL = 1  # of ISA-L: 0 to 3; on shuffled noise the higher ones take longer and save nothing


class Codec(StrEnum):
    """Compression of a dataset's chunks.

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
class BloscPipeline:
    """Blosc's zstd as the only filter of a dataset, and the shape and type of its chunks.

    Parameters
    ----------
    chunks : tuple of int
        Shape of a chunk, that of the edge too.
    dtype : numpy.dtype
        Of the stored values.
    level : int
        Of zstd, 0 to 9.
    shuffle : int
        Blosc's number: 0 none, 1 bytes, 2 bits.
    """

    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    level: int
    shuffle: int

    @classmethod
    def of(cls, dataset: h5py.Dataset) -> BloscPipeline | None:
        """Return the pipeline of a dataset, or None where it is another one."""
        if dataset.dtype.kind not in "iuf" or not stores_plain_chunks(dataset):
            return None
        filters = dataset.id.get_create_plist()
        if filters.get_nfilters() != 1:
            return None
        code, _, options, _ = filters.get_filter(0)
        if code != _BLOSC or len(options) < 7 or options[6] != _BLOSC_ZSTD:
            return None
        return cls(dataset.chunks, dataset.dtype, options[4], options[5])

    @property
    def nbytes(self) -> int:
        """Bytes of a chunk before the filter."""
        return math.prod(self.chunks) * int(self.dtype.itemsize)


def find_pipeline(dataset: h5py.Dataset) -> FilterPipeline | BloscPipeline | None:
    """Return the pipeline by which a dataset's chunks are encoded here; None where only HDF5 knows how."""
    return FilterPipeline.of(dataset) or BloscPipeline.of(dataset)


def encode_chunk(pipeline: FilterPipeline | BloscPipeline, values: np.ndarray, level: int = LEVEL) -> bytes:
    """Return the stored bytes of one chunk.

    Parameters
    ----------
    pipeline : FilterPipeline
    values : numpy.ndarray
        Of the shape of a chunk, or smaller at the edge of the dataset: the rest is filled with zeros.
    level : int
        ISA-L's level, 0 to 3; Blosc's is that of its pipeline.
    """
    if values.shape == pipeline.chunks:
        chunk = np.ascontiguousarray(values, dtype=pipeline.dtype)
    else:
        chunk = np.zeros(pipeline.chunks, pipeline.dtype)
        chunk[tuple(slice(0, size) for size in values.shape)] = values
    if isinstance(pipeline, BloscPipeline):
        from numcodecs.blosc import compress  # zarr brings it

        return bytes(compress(chunk.reshape(-1), b"zstd", pipeline.level, pipeline.shuffle))
    data = shuffle_bytes(chunk) if pipeline.shuffle else chunk.reshape(-1).view(np.uint8)
    return isal_zlib.compress(data, level) if pipeline.deflate else data.tobytes()


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
