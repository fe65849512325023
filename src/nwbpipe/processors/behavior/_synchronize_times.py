"""Times of a series' samples, read in blocks (part of a compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

import h5py
import numpy as np

BLOCK = 1 << 20  # times that are read at once
_MARK = 4096  # every so many times one is kept


class SampleTimes:
    """The times of a series: a rate and a start, or a dataset that is never held as a whole.

    Parameters
    ----------
    where : str
        Path of the series, to be named in an error.
    stamps : h5py.Dataset of float, shape (n_samples,), or None
        Times in seconds.
    rate, start : float
        Samples per second and time of the first one, if there are no `stamps`.
    count : int
        Number of samples.

    Attributes
    ----------
    step : float
        Median interval in seconds: of all samples if they are few, else of the first block's.
    first, last : float
        Time of the first and of the last sample.
    """

    def __init__(
        self, where: str, stamps: h5py.Dataset | None, rate: float = 0.0, start: float = 0.0, count: int = 0
    ) -> None:
        self._stamps, self._rate, self._start = stamps, rate, start
        self.count = count if stamps is None else int(stamps.shape[0])
        if self.count == 0:
            raise ValueError(f"{where} has no samples")
        if stamps is None:
            self.step = 1.0 / rate
            self.first, self.last = start, start + (self.count - 1) / rate
        else:
            self._marks, self.step = _read_marks(where, stamps)
            self.first, self.last = float(stamps[0]), float(stamps[-1])

    def read(self, first: int, last: int) -> np.ndarray:
        """Return the times of the samples from `first` up to `last`, which is excluded; float64."""
        if self._stamps is None:
            return np.asarray(self._start + np.arange(first, min(last, self.count)) / self._rate)
        return np.asarray(self._stamps[first:last], dtype=np.float64)

    def find(self, time: float) -> int:
        """Return the number of samples before `time`; those within rounding of it are not before it."""
        time -= 1e-9
        if self._stamps is None:
            return int(np.clip(np.ceil((time - self._start) * self._rate), 0, self.count))
        mark = max(int(np.searchsorted(self._marks, time)) - 1, 0) * _MARK
        return mark + int(np.searchsorted(self.read(mark, mark + _MARK + 1), time))


def _read_marks(where: str, stamps: h5py.Dataset) -> tuple[np.ndarray, float]:
    """Return every so many of the times, and their median interval.

    Raises
    ------
    ValueError
        A time is not later than the one before, or not a number.
    """
    marks, step, earlier = [], 1.0, -np.inf
    for first in range(0, stamps.shape[0], BLOCK):
        times = np.asarray(stamps[first : first + BLOCK], dtype=np.float64)
        steps = np.diff(times, prepend=earlier)
        wrong = np.flatnonzero(~((steps > 0) & np.isfinite(times)))
        if wrong.size:
            message = (
                "the times of %s don't increase: the first that is not later than the one before is at sample %d"
            )
            raise ValueError(message % (where, first + wrong[0]))
        if first == 0 and times.size > 1:
            step = float(np.median(steps[1:]))
        earlier = times[-1]
        marks.append(times[::_MARK].copy())  # a view would keep the block
    return np.concatenate(marks), step


def bin_edges(times: np.ndarray, earlier: float | None, later: float | None, step: float) -> np.ndarray:
    """Return the bin around each time of the grid: it ends half-way to its neighbours.

    Where the grid has a gap (more than three usual intervals), a bin ends half a usual interval from its time.

    Parameters
    ----------
    times : ndarray of float64, shape (n_times,)
        Part of the grid, in seconds.
    earlier, later : float or None
        The neighbours of that part; None at the ends of the grid.
    step : float
        The usual interval, in seconds.

    Returns
    -------
    ndarray of float64, shape (n_times, 2)
        Start and end of each bin, the end excluded.
    """
    ends = [times[0] - step if earlier is None else earlier], times, [times[-1] + step if later is None else later]
    padded = np.concatenate(ends)
    middle = (padded[:-1] + padded[1:]) / 2
    wide = np.diff(padded) > 3 * step
    begins_at = np.where(wide[:-1], times - step / 2, middle[:-1])
    ends_at = np.where(wide[1:], times + step / 2, middle[1:])
    return np.column_stack([begins_at, ends_at])
