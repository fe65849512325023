"""The chunks of a dataset, past HDF5's filters: shuffle and deflate in any thread, without the interpreter's lock."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any, Callable, Optional, Tuple

import h5py
import numpy as np


def find_inflate() -> Callable[[bytes, int], Any]:
    """Return this Python's quickest function that inflates a zlib stream into at most so many bytes.

    libdeflate takes less than half of zlib's time. A tool's Python need not have it, and may have it in imagecodecs.
    """
    try:
        from deflate import zlib_decompress

        return zlib_decompress
    except ImportError:
        pass
    try:
        from imagecodecs import deflate_decode

        return lambda data, size: deflate_decode(data, out=size)
    except ImportError:
        return _inflate_by_zlib


def _inflate_by_zlib(data: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    values = stream.decompress(data, size + 1)
    if not stream.eof:
        raise zlib.error("the stream has no end, or is too long")
    return values


_inflate = find_inflate()


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

    chunks: Tuple[int, ...]
    dtype: Any
    shuffle: bool
    deflate: bool

    @classmethod
    def of(cls, dataset: h5py.Dataset) -> Optional[FilterPipeline]:
        """Return the pipeline of a dataset, or None where only HDF5 knows how to code it."""
        if not stores_plain_chunks(dataset):
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
        return math.prod(self.chunks) * int(self.dtype.itemsize)

    def decode(self, data: bytes, skipped: int = 0, out: Optional[np.ndarray] = None) -> np.ndarray:
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
                data = _inflate(data, self.nbytes)
            except MemoryError:
                raise
            except Exception as error:  # each library has an error of its own
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


def stores_plain_chunks(dataset: h5py.Dataset) -> bool:
    """Tell whether a dataset has chunks whose bytes, before the filters, are those of a numpy array."""
    if dataset.chunks is None or dataset.dtype.kind not in "biufc":
        return False
    if dataset.dtype.char in "gG":  # long doubles: what is in their padding is undefined
        return False
    # No integers of 12 bits, no exotic floats.
    return bool(h5py.h5t.py_create(dataset.dtype, logical=True) == dataset.id.get_type())


def unshuffle_bytes(data: bytes | np.ndarray, dtype: np.dtype[Any], out: Optional[np.ndarray] = None) -> np.ndarray:
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


def read_stored_chunk(dataset: h5py.Dataset, offset: Tuple[int, ...]) -> Optional[Tuple[int, bytes]]:
    """Return the mask of skipped filters and the stored bytes of the chunk at `offset`; None if it was never written.

    Raises
    ------
    OSError
        If the file is damaged there.
    """
    try:
        chunk: Tuple[int, bytes] = dataset.id.read_direct_chunk(offset)
    except RuntimeError as error:
        # Never written: it holds the fill value. HDF5's second message is that of a chunk which it has read before.
        if "not allocated" in str(error) or "address isn't defined" in str(error):
            return None
        raise OSError("%s: %s: %s" % (dataset.file.filename, dataset.name, error)) from error
    return chunk
