"""Write the bytes of a chunk: HDF5's shuffle and deflate filters, without HDF5 and without the interpreter's lock."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from isal import isal_zlib

from nwbpipe.errors import RequestError
from nwbpipe_kit.chunks import FilterPipeline

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


def encode_chunk(pipeline: FilterPipeline, values: np.ndarray, level: int = LEVEL) -> bytes:
    """Return the stored bytes of one chunk.

    Parameters
    ----------
    pipeline : FilterPipeline
    values : numpy.ndarray
        Of the shape of a chunk, or smaller at the edge of the dataset: the rest is filled with zeros.
    level : int
        ISA-L's level, 0 to 3.
    """
    if values.shape == pipeline.chunks:
        chunk = np.ascontiguousarray(values, dtype=pipeline.dtype)
    else:
        chunk = np.zeros(pipeline.chunks, pipeline.dtype)
        chunk[tuple(slice(0, size) for size in values.shape)] = values
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
