"""Undo the overflow of counters: of a clock's time stamps, or of an encoder's position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def unwrap_counter(
    values: npt.NDArray[np.float64], modulus: float | None, *, rising: bool
) -> npt.NDArray[np.float64]:
    """Undo the overflow of a counter.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Missing ones (NaN) stay missing.
    modulus : float or None
        Number of values that the counter has, e.g. 2**32; None leaves the values alone.
    rising : bool
        True for a counter of time: only a step back by more than half the modulus is an overflow. Else a step of
        more than half the modulus either way is one the other way.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    if modulus is None:
        return values
    finite = np.isfinite(values)
    turns = -np.round(np.diff(values[finite]) / modulus)
    turns = np.maximum(turns, 0) if rising else turns
    unwrapped = values.astype(np.float64)
    unwrapped[finite] += modulus * np.cumsum(np.append(0.0, turns))[: finite.sum()]
    return unwrapped
