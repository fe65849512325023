"""Hash the values of a large dataset while they are written, so that nothing has to be read again."""

from __future__ import annotations

from typing import Any

import numpy as np

from nwbpipe.provenance._hashing import BlockHasher, encode, is_plain


class WrittenValues:
    """The values of a dataset that is written block after block.

    Parameters
    ----------
    shape : tuple of int
        Shape of the dataset.
    dtype : numpy.dtype
        Type of the dataset.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype
        self._hasher = BlockHasher()
        self._rows = 0
        self._is_in_order = is_plain(dtype) and bool(shape)

    def add(self, block: tuple[slice, ...], values: Any) -> None:
        """Take the values of the next block, before they are written."""
        whole_rows = all(
            (part.start, part.stop) == (0, size) for part, size in zip(block[1:], self._shape[1:], strict=True)
        )
        is_next = whole_rows and block[0].start == self._rows
        if not (self._is_in_order and is_next and np.can_cast(values.dtype, self._dtype, "safe")):
            self._is_in_order = False  # HDF5 may convert them in a way of its own
            return
        self._rows = block[0].stop
        for piece in encode(values.astype(self._dtype, copy=False), self._dtype, _refuse_reference):
            self._hasher.update(piece)

    def digest(self) -> bytes | None:
        """Return the digest of all values, as an identity holds it; None if they did not come in order."""
        return self._hasher.digest() if self._is_in_order and self._rows == self._shape[0] else None


def _refuse_reference(reference: Any) -> bytes:
    raise AssertionError(f"{reference!r}: plain values hold no references")
