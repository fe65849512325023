"""Reading a photometry series: part of the photometry compute modules, which import it from beside themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

GAP = 1.5  # an interval longer than this many median ones is a gap


def read_times(file: h5py.File, located: dict[str, Any], count: int) -> np.ndarray:
    """Return the times of `count` samples, seconds, shape (count,)."""
    if located["timestamps"] is not None:
        times = np.asarray(file[located["timestamps"]][()], dtype=np.float64)
        if times.shape != (count,):
            raise ValueError("%s has %d samples and %d timestamps" % (located["path"], count, times.size))
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise ValueError("the timestamps of %s don't increase, or are not finite" % located["path"])
        return times
    return float(located["starting_time"] or 0.0) + np.arange(count) / float(located["rate"])


def read_series(located: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return values in the series' unit, shape (samples, traces), and times in seconds, shape (samples,)."""
    with h5py.File(located["file"], "r", locking=False) as file:
        data = file[located["data"]]
        values = np.asarray(data[()], dtype=np.float64)
        values = values * float(data.attrs.get("conversion", 1.0)) + float(data.attrs.get("offset", 0.0))
        return values.reshape(len(values), -1), read_times(file, located, len(values))


def median_interval(times: np.ndarray) -> float:
    """Median interval between samples, in seconds."""
    return float(np.median(np.diff(times)))


def iter_runs(good: np.ndarray, times: np.ndarray) -> Iterator[slice]:
    """Stretches of good samples without a gap in time."""
    if not good.any():
        return
    breaks = np.zeros(len(good) + 1, dtype=bool)
    breaks[0] = breaks[-1] = True
    breaks[1:-1] = np.diff(times) > GAP * median_interval(times)
    edges = np.flatnonzero(breaks | (np.diff(np.concatenate(([False], good, [False])).astype(np.int8)) != 0))
    for start, stop in zip(edges[:-1], edges[1:]):
        if good[start]:
            yield slice(int(start), int(stop))


def interpolate(times: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Interpolate linearly at the `wanted` times; NaN beside missing samples, in gaps, and beyond the ends."""
    if len(times) < 2:
        return np.full(wanted.shape, np.nan)
    right = np.clip(np.searchsorted(times, wanted, side="right"), 1, len(times) - 1)
    left = right - 1
    span = times[right] - times[left]
    share = (wanted - times[left]) / span
    # A sample that is hit exactly (to a millionth of the interval, or as far as Unix times tell) needs no neighbour.
    close = np.maximum(1e-6, 4 * np.spacing(np.abs(times[-1])) / span)
    on_left, on_right = np.abs(share) < close, np.abs(share - 1) < close
    interpolated = values[left] * (1 - share) + values[right] * share
    interpolated = np.where(on_left, values[left], np.where(on_right, values[right], interpolated))
    outside = ~(on_left | on_right) & ((share < 0) | (share > 1) | (span > GAP * median_interval(times)))
    return np.where(outside, np.nan, interpolated)
