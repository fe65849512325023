"""Times of an ElectricalSeries' samples in the session's clock, for what is written in the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pynwb.ecephys import ElectricalSeries

Floats = NDArray[np.float64]


def sampling_rate(series: ElectricalSeries) -> float:
    """Return the rate in Hz: the series' own, or that of its first timestamps."""
    if series.rate is not None:
        return float(series.rate)
    first = np.asarray(series.timestamps[:10_000], dtype=np.float64)
    return 1.0 / float(np.median(np.diff(first)))


def times_of(series: ElectricalSeries, samples: NDArray[np.int64]) -> Floats:
    """Return the times of samples in seconds."""
    if series.timestamps is None:
        return float(series.starting_time or 0.0) + np.asarray(samples) / float(series.rate)
    stamps = np.asarray(series.timestamps[:], dtype=np.float64)
    return stamps[samples]


def samples_at(series: ElectricalSeries, times: Floats) -> NDArray[np.int64]:
    """Return the nearest sample to each time."""
    if series.timestamps is None:
        nearest = np.rint((times - float(series.starting_time or 0.0)) * float(series.rate)).astype(np.int64)
    else:
        stamps = np.asarray(series.timestamps[:], dtype=np.float64)
        upper = np.clip(np.searchsorted(stamps, times), 1, len(stamps) - 1)
        nearest = np.where(times - stamps[upper - 1] < stamps[upper] - times, upper - 1, upper)
    return np.asarray(nearest, dtype=np.int64)


def find_intervals(series: ElectricalSeries) -> Floats:
    """Return the stretches that were recorded without a gap: start and end in seconds."""
    step = 1.0 / sampling_rate(series)
    if series.timestamps is None:
        start = float(series.starting_time or 0.0)
        return np.array([[start, start + len(series.data) * step]])
    stamps = np.asarray(series.timestamps[:], dtype=np.float64)
    breaks = np.flatnonzero(np.diff(stamps) > 1.5 * step)
    starts, ends = np.r_[0, breaks + 1], np.r_[breaks, len(stamps) - 1]
    return np.column_stack([stamps[starts], stamps[ends] + step])
