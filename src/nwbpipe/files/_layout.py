"""The layout of a file: its space, and the shapes of chunks, chosen by how the data are read."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import numpy as np

CHUNK_BYTES = 4 * 2**20  # raw; noise of 16 bits leaves about half of it, one request to an object store
_MAX_FRAME_BYTES = 4 * CHUNK_BYTES  # a larger frame is cut
_CHANNELS = 64
_PAGE_BYTES = 4096  # each commit begins two new ones: results are often smaller


class Layout(StrEnum):
    """Strategy by which HDF5 manages a file's space.

    ``paged``: metadata lie together in pages, so that few requests open the file over a network; for readers
    of HDF5 1.10 and later. ``plain``: as HDF5 has always done it.
    """

    PAGED = "paged"
    PLAIN = "plain"

    def options(self) -> dict[str, Any]:
        """Return what `h5py.File` takes for a new file."""
        return {"fs_strategy": "page", "fs_page_size": _PAGE_BYTES} if self is Layout.PAGED else {}


class Access(StrEnum):
    """Most frequent way of reading a dataset.

    ``frames`` one frame after the other, each whole: movies. ``planes`` the same for volumes, one plane at a time
    (the last axis). ``traces`` stretches of time, for some or all channels: recordings, traces of ROIs. ``series``
    one long vector.
    """

    FRAMES = "frames"
    PLANES = "planes"
    TRACES = "traces"
    SERIES = "series"


def chunk_shape(shape: tuple[int, ...], dtype: np.dtype[Any], access: Access) -> tuple[int, ...]:
    """Return the shape of the chunks for a dataset, of about 4 MiB before compression.

    Parameters
    ----------
    shape : tuple of int
        Of the dataset: time first. No axis may be empty.
    dtype : numpy.dtype
        Of its values.
    access : Access
        How it is read.

    Returns
    -------
    tuple of int
        Movies: as many whole frames as fit, at least one; a frame above 16 MiB is cut along its first axis.
        Traces: up to 64 channels, and as long as fits. Series: as long as fits.

    Examples
    --------
    >>> chunk_shape((10_000, 512, 512), np.dtype("int16"), Access.FRAMES)
    (8, 512, 512)
    >>> chunk_shape((30_000_000, 384), np.dtype("int16"), Access.TRACES)
    (32768, 64)
    """
    sample = [int(size) for size in shape[1:]]
    if access is Access.TRACES and len(sample) == 1:
        sample[0] = min(sample[0], _CHANNELS)
    if access is Access.PLANES and len(sample) == 3:
        sample[2] = 1
    axis = 0
    while axis < len(sample) and math.prod(sample) * dtype.itemsize > _MAX_FRAME_BYTES:
        slice_bytes = math.prod(sample[axis + 1 :]) * dtype.itemsize
        sample[axis] = max(1, CHUNK_BYTES // slice_bytes)
        axis += 1
    most = CHUNK_BYTES // (math.prod(sample) * dtype.itemsize)
    return (min(max(1, most), int(shape[0])), *sample)
