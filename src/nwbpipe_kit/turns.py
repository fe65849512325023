"""Directions and phases: angles that begin again after a turn, so that their mean is not that of their numbers."""

from __future__ import annotations

from typing import Any, Iterable

import numpy as np

_TURNS = {
    **dict.fromkeys(("radians", "radian", "rad"), 2 * np.pi),
    **dict.fromkeys(("degrees", "degree", "deg"), 360.0),
}
_SLACK = 1e-3  # of a turn: float32 and rounded values lie a little outside


class Turns:
    """Columns of a series that are directions.

    Parameters
    ----------
    length : float
        Of a turn, in the unit of the series.
    starts : array-like of float, shape (n_columns,)
        Where the turn of each column begins: 0, or minus half of it; NaN for a column that is no direction.

    Attributes
    ----------
    length, starts
        As above.
    """

    def __init__(self, length: float, starts: Any) -> None:
        self.length, self.starts = length, np.asarray(starts, dtype=np.float64)

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Return values, (n, …, n_columns), within half a turn of their mean direction along the first axis."""
        phases = np.exp(2j * np.pi / self.length * np.where(np.isfinite(values), values, 0.0))
        mean = np.angle((phases * np.isfinite(values)).sum(axis=0)) * (self.length / (2 * np.pi))
        near = mean + np.mod(values - mean + self.length / 2, self.length) - self.length / 2
        return np.where(np.isfinite(self.starts), near, values)

    def unwrap(self, values: np.ndarray) -> np.ndarray:
        """Return samples, (n_samples, n_columns), in which a direction goes on over the end of a turn."""
        out = values.copy()
        for column in np.flatnonzero(np.isfinite(self.starts)):
            present = np.isfinite(values[:, column])
            out[present, column] = np.unwrap(values[present, column], period=self.length)
        return out

    def wrap(self, values: np.ndarray) -> np.ndarray:
        """Return values, (n, n_columns), in the turn of their column."""
        turned = self.starts + np.mod(values - self.starts, self.length)
        return np.where(np.isfinite(self.starts), turned, values)


def find_turns(unit: str, blocks: Iterable[np.ndarray]) -> Turns | None:
    """Return which columns of a series are directions; None if none is, or if the unit is not one of angles.

    A direction stays within a turn, and jumps by more than half of one between neighbours. What never jumps needs no
    care, and what goes on over a turn, such as the position of a wheel, has none.

    Parameters
    ----------
    unit : str
        ``radians`` or ``degrees``; the `blocks` of another unit are not read.
    blocks : iterable of ndarray, shape (n_samples, n_columns)
        The samples in their order.
    """
    length = _TURNS.get(unit.strip().lower())
    if length is None:
        return None
    low, high, jumps, last = np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool), np.zeros((0, 0))
    for block in blocks:
        if not low.size:
            low, high = np.full(block.shape[1], np.inf), np.full(block.shape[1], -np.inf)
            jumps, last = np.zeros(block.shape[1], dtype=bool), block[:0]
        values = np.concatenate([last, block])
        finite = np.isfinite(values)
        low = np.minimum(low, np.where(finite, values, np.inf).min(axis=0, initial=np.inf))
        high = np.maximum(high, np.where(finite, values, -np.inf).max(axis=0, initial=-np.inf))
        if (high - low > length * (1 + _SLACK)).all():
            return None
        jumps |= (np.abs(np.diff(np.where(finite, values, np.nan), axis=0)) > length / 2).any(axis=0)
        last = values[-1:]
    turns = jumps & (high - low <= length * (1 + _SLACK))
    if not turns.any():
        return None
    return Turns(length, np.where(turns, np.where(low < -length * _SLACK, -length / 2, 0.0), np.nan))
