"""Reduce long recordings to what a plot of a few hundred pixels can show: least and greatest value of each bin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BINS = 800
_BLOCK = 4_000_000  # values that are read at a time
_MOST = 400_000_000  # values: of longer data only a part of each bin is read


@dataclass(frozen=True)
class Envelope:
    """Least and greatest value of each bin of time.

    Attributes
    ----------
    times : ndarray, float64, shape (n_bins,)
        Middle of each bin, in seconds.
    low, high : ndarray, float64, shape (n_bins, n_channels)
        NaN in a bin without samples.
    is_sampled : bool
        True if only a part of the samples of each bin was read.
    """

    times: Floats
    low: Floats
    high: Floats
    is_sampled: bool = False


def read_envelope(series: Any, channels: int | None = None, bins: int = BINS) -> Envelope:
    """Return the envelope of a `pynwb.TimeSeries`, in its unit.

    Parameters
    ----------
    series : pynwb.TimeSeries
        With data of shape (n_samples,) or (n_samples, n_channels).
    channels : int, optional
        Number of channels from the first; all by default.
    bins : int
        Number of bins, or the number of samples where those are fewer.
    """
    data = series.data
    count = int(data.shape[0])
    width = 1 if len(data.shape) == 1 else len(range(int(data.shape[1]))[:channels])
    edges, middles = _split_time(series, count, min(bins, max(count, 1)))
    low, high = np.full((2, len(middles), width), np.nan)
    row = int(np.prod(data.shape[1:], dtype=np.int64)) or 1
    is_sampled = count * row > _MOST
    limit = max(1, _MOST // (row * max(len(middles), 1))) if is_sampled else count
    index = 0
    while index < len(middles):
        last = index + 1  # bins that are read together
        while not is_sampled and last < len(middles) and (edges[last + 1] - edges[index]) * row <= _BLOCK:
            last += 1
        block = _read_rows(data, int(edges[index]), int(min(edges[last], edges[index] + limit)), channels)
        for bin_index in range(index, last):
            part = block[edges[bin_index] - edges[index] : edges[bin_index + 1] - edges[index]]
            if len(part):
                with np.errstate(invalid="ignore"):
                    low[bin_index] = np.fmin.reduce(part, axis=0)
                    high[bin_index] = np.fmax.reduce(part, axis=0)
        index = last
    low, high = _scale(series, low), _scale(series, high)
    return Envelope(middles, np.fmin(low, high), np.fmax(low, high), is_sampled)


def read_times(series: Any) -> Floats:
    """Return the times of all samples of a series, in seconds."""
    if series.timestamps is not None:
        return np.asarray(series.timestamps[:], dtype=np.float64)
    rate = float(series.rate or 1.0)
    return np.asarray(float(series.starting_time or 0.0) + np.arange(int(series.data.shape[0])) / rate)


def read_rows(series: Any, start: int, stop: int) -> Floats:
    """Return samples of a series in its unit, as float64 of shape (n_samples, n_channels)."""
    return _scale(series, _read_rows(series.data, start, stop))


def _scale(series: Any, values: Floats) -> Floats:
    """Return samples in the series' unit, with the gain of each channel where it has one."""
    gains = getattr(series, "channel_conversion", None)  # of an ElectricalSeries
    factor: Any = float(series.conversion or 1.0)
    if gains is not None:
        factor = factor * np.asarray(gains[:], dtype=np.float64)[: values.shape[1]]
    return np.asarray(values * factor + float(series.offset or 0.0))


def _read_rows(data: Any, start: int, stop: int, channels: int | None = None) -> Floats:
    values = np.asarray(data[start:stop] if len(data.shape) == 1 else data[start:stop, :channels], dtype=np.float64)
    return values[:, None] if values.ndim == 1 else values


def _split_time(series: Any, count: int, bins: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the first sample of each bin (and the end), and the middle of each; gaps are bins without samples."""
    if series.timestamps is None or count < 2:
        edges = np.linspace(0, count, bins + 1).astype(np.int64)
        rate, start = float(series.rate or 1.0), float(series.starting_time or 0.0)
        if series.timestamps is not None and count:
            start = float(series.timestamps[0])
        return edges, start + (edges[:-1] + edges[1:]) / 2 / rate
    times = np.asarray(series.timestamps[:], dtype=np.float64)
    borders = np.linspace(times[0], times[-1], bins + 1)
    edges = np.searchsorted(times, borders)
    edges[0], edges[-1] = 0, count
    return edges.astype(np.int64), (borders[:-1] + borders[1:]) / 2
