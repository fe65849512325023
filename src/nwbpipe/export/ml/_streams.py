"""Data of a session in a data set: times of units or events, series, and values of trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from nwbpipe.export._align import bin_samples, choose_method
from nwbpipe.export._read_series import Floats
from nwbpipe.export._spikes import ALWAYS
from nwbpipe.processors.behavior import find_window
from nwbpipe_kit.turns import Turns, find_turns
from nwbpipe_kit.windows import resolve


class _Budget:
    """Memory for series that are kept once they were read; the others are read window by window.

    None makes room for another: windows come in any order, and each would read a whole series again.
    """

    def __init__(self, size: int) -> None:
        self._left = size

    def reserve(self, signal: Signal, size: int) -> bool:
        """Return True if a series of so many bytes may be kept until it is not used any more."""
        if size > self._left:
            return False
        self._left -= size
        finalize(signal, self._release, size)
        return True

    def _release(self, size: int) -> None:
        self._left += size


_BUDGET = _Budget(2**31)
_BLOCK = 2**20  # values of a series that are looked at once


@dataclass(frozen=True)
class Points:
    """Times of some units, or of events by their type.

    Attributes
    ----------
    ids : list of str
        One for each unit, the same in no other session: ``sub-M1_ses-a/units/7``; of events their types.
    times : list of ndarray, shape (n_times,)
        In seconds on the session's clock, not decreasing.
    observed : list of ndarray, shape (n_intervals, 2)
        When each was observed.
    columns : mapping of str to ndarray
        More about each unit.
    is_population : bool
        True for units, False for types of events, which sessions share.
    recorded : tuple of float, optional
        First and last spike of all units of the table, of which these may be some: where nothing says when units were
        observed, the time before and after is not known to be silent.
    """

    ids: list[str]
    times: list[Floats]
    observed: list[Floats]
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    is_population: bool = True
    recorded: tuple[float, float] | None = None

    @property
    def labels(self) -> list[str]:
        """Name of each column."""
        return self.ids

    def with_types(self, types: Sequence[str]) -> Points:
        """Return events of these types in this order: one that a session lacks did not happen there."""
        times = dict(zip(self.ids, self.times, strict=True))
        return Points(
            list(types), [times.get(name, np.zeros(0)) for name in types], [ALWAYS] * len(types), is_population=False
        )

    @cached_property
    def merged(self) -> tuple[Floats, NDArray[np.int64]]:
        """All times in order, and the number of the unit of each."""
        times = np.concatenate([np.zeros(0), *self.times])
        units = np.repeat(np.arange(len(self.times)), [len(unit) for unit in self.times])
        order = np.argsort(times, kind="stable")
        return times[order], units[order]

    @cached_property
    def _observed_groups(self) -> list[tuple[Floats, list[int]]]:
        """The units that were not always observed, by their intervals: most share them."""
        groups: dict[bytes, tuple[Floats, list[int]]] = {}
        for unit, intervals in enumerate(self.observed):
            if not np.isneginf(intervals[0, 0]):
                groups.setdefault(intervals.tobytes(), (intervals, []))[1].append(unit)
        return list(groups.values())

    @property
    def span(self) -> tuple[float, float] | None:
        """First and last time that any unit was observed; None if it is not known."""
        bounds = [interval for interval in self.observed if np.isfinite(interval).all() and interval.size]
        if len(bounds) < len(self.observed) or not bounds:
            return self.recorded
        return min(float(b[0, 0]) for b in bounds), max(float(b[-1, 1]) for b in bounds)

    @property
    def extent(self) -> tuple[float, float]:
        """First and last time of all units."""
        times = self.merged[0]
        return (float(times[0]), float(times[-1])) if len(times) else (0.0, 0.0)

    def bin(self, start: float, edges: Floats) -> NDArray[np.float32]:
        """Return the counts in bins, NaN where a unit was not observed: shape (n_bins, n_units)."""
        slack = resolve(start)  # a time that is no farther off an edge is on it
        at = start + edges
        times, units = self.merged
        first, last = np.searchsorted(times, (at[0] - slack, at[-1] - slack))
        bins = np.searchsorted(at - slack, times[first:last], side="right") - 1
        counts = np.zeros((len(edges) - 1, len(self.times)), dtype=np.float32)
        np.add.at(counts, (bins, units[first:last]), 1)
        for intervals, units_of in self._observed_groups:
            interval = np.searchsorted(intervals[:, 0], at[:-1] + slack, side="right") - 1
            is_observed = (interval >= 0) & (at[1:] <= intervals[np.maximum(interval, 0), 1] + slack)
            if not is_observed.all():
                counts[np.ix_(~is_observed, units_of)] = np.nan
        return counts

    def is_observed(self, start: float, length: float) -> bool:
        """Return True if all units were observed in a window: else its silence says nothing."""
        slack = resolve(start)
        return all(
            ((intervals[:, 0] <= start + slack) & (intervals[:, 1] >= start + length - slack)).any()
            for intervals, _ in self._observed_groups
        )

    def tokens(self, start: float, length: float) -> dict[str, NDArray[Any]]:
        """Return the times in a window from its start, and the number of the unit of each."""
        times, units = self.merged
        slack = resolve(start)
        first, last = np.searchsorted(times, (start - slack, start + length - slack))
        return {"times": times[first:last] - start, "unit": units[first:last]}


@dataclass(frozen=True)
class Signal:
    """A series: values at regular times or at times of their own.

    Attributes
    ----------
    labels : list of str
        One for each column.
    is_population : bool
        True if the columns are neurons or channels, which are others in each session.
    unit : str
        Of the values.
    count : int
        Number of samples.
    rate, start : float
        Samples per second, and time of the first one, if they are regular.
    stamps : ndarray or None
        Time of each sample, if they are not.
    read : callable
        Returns the values from a sample up to another one, shape (n_samples, n_columns).
    method : str or None
        See `Stream`.
    """

    labels: list[str]
    is_population: bool
    unit: str
    count: int
    rate: float
    start: float
    stamps: Floats | None
    read: Callable[[int, int], NDArray[Any]]
    method: str | None = None

    @cached_property
    def interval(self) -> float:
        """Time between samples (s); the median, if they are not regular."""
        if self.stamps is None:
            return 1 / self.rate
        return float(np.median(np.diff(self.stamps))) if self.count > 1 else 0.0

    @property
    def span(self) -> tuple[float, float]:
        """First time, and the last one with the time that the last sample lasts."""
        if self.stamps is None:
            return self.start, self.start + self.count / self.rate
        return float(self.stamps[0]), float(self.stamps[-1]) + self.interval

    @cached_property
    def _values(self) -> NDArray[Any] | None:
        size = self.count * len(self.labels) * 8
        return self.read(0, self.count) if _BUDGET.reserve(self, size) else None

    def values(self, first: int, last: int) -> Floats:
        """Return the values of some samples, shape (n_samples, n_columns)."""
        values = self.read(first, last) if self._values is None else self._values[first:last]
        return np.asarray(values, dtype=np.float64)

    @cached_property
    def _turns(self) -> Turns | None:
        size = max(_BLOCK // len(self.labels), 1)
        blocks = (self.values(first, min(first + size, self.count)) for first in range(0, self.count, size))
        return find_turns(self.unit, blocks)

    def bin(self, start: float, edges: Floats) -> NDArray[np.float32]:
        """Return the values in bins, NaN where the series has none: shape (n_bins, n_columns)."""
        width = float(edges[1] - edges[0])
        method = self.method or choose_method(self.interval, width)
        at = edges if method == "mean" else edges[:-1] + width / 2
        first, last, times = find_window(self.stamps, self.rate, self.start, self.count, start, at[0], at[-1])
        if last <= first:
            return np.full((len(edges) - 1, len(self.labels)), np.nan, dtype=np.float32)
        turns = self._turns if method in ("mean", "linear") else None
        samples, max_gap = self.values(first, last), 1.5 * self.interval
        return bin_samples(times, samples, edges, method, max_gap, resolve(start), turns).astype(np.float32)


@dataclass(frozen=True)
class Labels:
    """A value for each trial: a number, or a class."""

    values: NDArray[Any]

    is_population = False

    @property
    def is_continuous(self) -> bool:
        """True for numbers with a fraction; others are classes."""
        return self.values.dtype.kind == "f"

    def texts(self) -> list[str]:
        """Return the classes as texts."""
        return [str(value) for value in self.values.tolist()]


Data = Points | Signal | Labels


@dataclass(frozen=True)
class Session:
    """A session of a data set.

    Attributes
    ----------
    name : str
        ``sub-M1_ses-a``.
    subject, session, day : str
        Its keys, and the date of its start in its own time zone.
    data : mapping of str to Points, Signal or Labels
        By the name of the input or target.
    paths : mapping of str to str
        Path of the object of each input and target; that of the trials for a column.
    identities : mapping of str to str
        Digest of the content of each object that was read, by its path.
    runs : list of mapping
        The runs that made them, the oldest first.
    anchors : ndarray, shape (n_trials,) or None
        Times of the trials that windows are cut around.
    """

    name: str
    subject: str
    session: str
    day: str
    data: Mapping[str, Data]
    paths: Mapping[str, str]
    identities: Mapping[str, str]
    runs: list[dict[str, Any]]
    anchors: Floats | None

    @property
    def domain(self) -> tuple[float, float]:
        """First and last time at which all of the data are there, in seconds."""
        spans = [data.span for data in self.data.values() if isinstance(data, Points | Signal)]
        bounds = [span for span in spans if span is not None]
        if not bounds:
            bounds = [data.extent for data in self.data.values() if isinstance(data, Points)]
        if not bounds:
            return -np.inf, np.inf
        return max(span[0] for span in bounds), min(span[1] for span in bounds)
