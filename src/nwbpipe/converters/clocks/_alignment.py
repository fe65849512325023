"""Move the times of the objects that a source added.

NeuroConv's interfaces each have their own way to align, and many have none, or leave a part out (the intervals
of a table, the events beside a signal). So nwbpipe moves times where all formats are alike: in the NWB objects
that a source has added to the file in memory, before anything is written. NWB's own types say which objects have
times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nwbpipe.converters._added import AddedObjects, Times, load_array, original_times, sample_count
from nwbpipe.errors import ClockError

TimeMap = Callable[[Times], Times]

# Columns that hold times, by the type of their table.
_COLUMNS = {
    "TimeIntervals": ("start_time", "stop_time"),
    "Units": ("spike_times", "obs_intervals"),
    "EventsTable": ("timestamp",),
}
REGULAR_S = 1e-9


def shift_times(added: AddedObjects, offset_s: float) -> list[str]:
    """Add a constant to every time that a source wrote.

    Parameters
    ----------
    added : AddedObjects
        The objects that the source added.
    offset_s : float
        Seconds to add.

    Returns
    -------
    list of str
        Notes on columns whose name alone does not say whether they hold times.
    """
    notes: list[str] = []
    for series in added.series():
        timestamps = series.fields.get("timestamps")
        if timestamps is None:
            series.fields["starting_time"] = float((series.fields.get("starting_time") or 0.0) + offset_s)
        elif not _is_series(timestamps):  # else it is linked, and moves with the series that owns it
            series.fields["timestamps"] = load_array(timestamps) + offset_s
    for table, first in added.tables():
        for column, is_time in list(time_columns(table, first, notes)):  # decided before any moves
            if is_time:
                _map_column(column, table, first, lambda times: times + offset_s)
    return notes


def map_times(added: AddedObjects, mapping: TimeMap) -> list[str]:
    """Carry all times of a source to the reference by the map of its clock.

    A straight map keeps a series' rate a rate (its own times the drift), whatever its length; a broken one gives
    each sample its time.

    Parameters
    ----------
    added : AddedObjects
        The objects that the source added.
    mapping : LinearMap or PiecewiseMap
        From the clock to the reference.

    Returns
    -------
    list of str
        Notes on columns whose name alone does not say whether they hold times.
    """
    owner: dict[bytes, Any] = {}
    for series in added.series():
        timestamps = series.fields.get("timestamps")
        if timestamps is not None:
            if not _is_series(timestamps):  # else it is linked, and moves with the series that owns it
                series.fields["timestamps"] = mapping(np.asarray(load_array(timestamps), dtype=np.float64))
            continue
        start = float(series.fields.get("starting_time") or 0.0)
        drift = getattr(mapping, "drift", None)
        if drift is None:
            _assign(series, mapping(original_times(series, sample_count(series))), owner)
        else:
            series.fields["starting_time"] = float(mapping(np.asarray([start]))[0])
            if series.fields.get("rate"):
                series.fields["rate"] = float(series.fields["rate"]) / (1.0 + drift)
    return map_tables(added, mapping)


def set_times(added: AddedObjects, times_of: Callable[[Any, int], Times]) -> list[tuple[Times, Times]]:
    """Set the times of the samples of every series that a source added.

    Parameters
    ----------
    added : AddedObjects
        The objects that the source added.
    times_of : callable
        Makes the times of a series and its number of samples; raises `ClockError` where they don't fit.

    Returns
    -------
    list of (array, array)
        For each series: its original times and its new ones, in seconds.
    """
    pairs = []
    owner: dict[bytes, Any] = {}
    for series in added.series():
        count = sample_count(series)
        original = original_times(series, count)
        times = times_of(series, count)
        pairs.append((original, times))
        _assign(series, times, owner)
    return pairs


def _assign(series: Any, times: Times, owner: dict[bytes, Any]) -> None:
    fields = series.fields
    for name in ("rate", "starting_time", "starting_time_unit", "timestamps", "timestamps_unit", "interval"):
        fields.pop(name, None)
    rate = regular_rate(times)
    if rate is not None:
        fields.update(rate=rate, starting_time=float(times[0]), starting_time_unit="seconds")
        return
    key = times.tobytes()
    first = owner.setdefault(key, series)
    # Series of one source share their times by a link, as the parts of a pose do.
    fields.update(timestamps=times if first is series else first, timestamps_unit="seconds", interval=1)
    if first is not series:
        first.fields.setdefault("timestamp_link", []).append(series)


def regular_rate(times: Times) -> float | None:
    """Return the rate (Hz) of evenly spaced times; None if it would move any of them by more than a nanosecond."""
    if len(times) < 3:
        return None
    rate = (len(times) - 1) / float(times[-1] - times[0])
    rounded = round(rate, 9)
    for candidate in (rounded, rate):
        if np.max(np.abs(times[0] + np.arange(len(times)) / candidate - times)) <= REGULAR_S:
            return candidate
    return None


def map_tables(added: AddedObjects, mapping: TimeMap) -> list[str]:
    """Carry the times of a source's tables from its clock to the reference by a function."""
    notes: list[str] = []
    for table, first in added.tables():
        for column, is_time in list(time_columns(table, first, notes)):  # decided before any moves
            if is_time:
                _map_column(column, table, first, mapping)
    return notes


def set_row_times(table: Any, times: Times) -> None:
    """Set the times of the rows of an events or intervals table; an interval keeps its duration."""
    kind = _table_kind(table)
    if kind == "EventsTable":
        _map_column(table["timestamp"], table, 0, lambda _old: times)
    elif kind == "TimeIntervals":
        start = load_array(table["start_time"].data)
        # All other times in a row move as far as the row's start does.
        for column in [column for column, is_time in time_columns(table, 0, []) if is_time]:
            _map_column(column, table, 0, partial(np.add, (times - start)[_rows_of(table, column)]))
    else:
        raise ClockError(
            f"a file of times can't be applied to the table {table.name!r}",
            expected="a table of events or of intervals, one time a row",
            found=type(table).__name__,
            hint="put the source into the clock of the recording that it comes from",
        )


def has_times(added: AddedObjects) -> bool:
    """Return True if a source added anything that has a time."""
    return bool(added.series()) or any(
        is_time for table, first in added.tables() for _, is_time in time_columns(table, first, [])
    )


def _table_kind(table: Any) -> str | None:
    names = [owner.__name__ for owner in type(table).__mro__]
    return next((name for name in names if name in _COLUMNS), None)


def time_columns(table: Any, first: int, notes: list[str]) -> Iterator[tuple[Any, bool]]:
    """Iterate over the columns of a table that may hold times, each with True if it does.

    Besides the columns that NWB defines: columns of the type `TimestampVectorData`, and, in a table of intervals,
    numbers in a column called ``…_time`` or ``…_times`` that lie within their own row's interval (as
    ``go_cue_time`` does and ``reaction_time``, a duration, doesn't).
    """
    kind = _table_kind(table)
    fixed = _COLUMNS.get(kind or "", ())
    for column in table.columns:
        if _is_index(column):
            continue
        if column.name in fixed or type(column).__name__ == "TimestampVectorData":
            yield column, True
        elif type(column).__name__ == "DurationVectorData":
            continue
        elif kind == "TimeIntervals" and column.name.endswith(("_time", "_times")):
            is_time = _lies_within_rows(table, column, first)
            if is_time is not None:
                verb = "taken as times" if is_time else "not taken as times"
                notes.append(f"{table.name}: the column {column.name} is {verb} of the source's clock")
                yield column, is_time


def _is_index(column: Any) -> bool:
    return any(owner.__name__ == "VectorIndex" for owner in type(column).__mro__)


def _lies_within_rows(table: Any, column: Any, first: int) -> bool | None:
    """Return True if a column's values lie in their rows' intervals; None if they are not numbers."""
    values = np.asarray(load_array(column.data))
    if values.dtype.kind not in "fiu" or values.ndim != 1 or not len(values):
        return None
    start, stop = (np.asarray(load_array(table[name].data), dtype=float) for name in ("start_time", "stop_time"))
    rows = _rows_of(table, column)
    if len(rows) != len(values):
        return None
    following = np.append(start[1:], np.inf)
    upper = np.fmax(stop, np.where(np.isfinite(following), following, stop))
    keep = np.isfinite(values) & (rows >= first)
    if not keep.any():
        return None
    inside = (values >= start[rows] - 1e-6) & (values <= upper[rows] + 1e-6)
    return bool(np.mean(inside[keep]) >= 0.9)


def _rows_of(table: Any, column: Any) -> npt.NDArray[np.intp]:
    """Return the row of each value of a column, ragged or not."""
    index = next((item for item in table.columns if item.name == f"{column.name}_index"), None)
    if index is None:
        return np.arange(len(table))
    ends = np.asarray(load_array(index.data), dtype=int)
    return np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))


def _map_column(column: Any, table: Any, first: int, mapping: TimeMap) -> None:
    """Apply a function to the values of a table's column from its row `first` on."""
    start = _first_value(column, table, first)

    def replace(data: Any) -> Any:
        values = np.array(load_array(data), dtype=np.float64)
        shape = values[start:].shape
        values[start:] = mapping(values[start:].reshape(-1)).reshape(shape)
        return values

    column.transform(replace)


def _first_value(column: Any, table: Any, first: int) -> int:
    """Return the position of a row's first value in a ragged column."""
    position = first
    name = column.name
    by_name = {item.name: item for item in table.columns}
    while first and f"{name}_index" in by_name:
        index = by_name[f"{name}_index"]
        position = int(load_array(index.data)[first - 1])
        name = index.name
    return position


def _is_series(value: Any) -> bool:
    from pynwb import TimeSeries

    return isinstance(value, TimeSeries)
