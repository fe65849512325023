"""A session as objects of pynapple."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.catalog import read_columns
from nwbpipe.export._libraries import import_library
from nwbpipe.export._read_series import Series, SeriesList, list_series, select_series, shorten_path
from nwbpipe.export._stored_array import StoredArray
from nwbpipe.session import NwbObject, SessionFile, SessionReader

_TIMES = {
    "TimeIntervals": ("start_time", "stop_time"),
    "EventsTable": ("timestamp",),
    "Units": ("spike_times", "obs_intervals"),
}


class PynappleSession(dict[str, Any]):
    """Objects of pynapple by name.

    Attributes
    ----------
    left_out : dict of str to str
        Paths of what is not among them, or not as pynapple's own, and why.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, str] = {}


def to_pynapple(
    path: Path | str, *, series: Sequence[str] | None = None, window: tuple[float, float] | None = None
) -> PynappleSession:
    """Return what a session file holds as objects of pynapple.

    Parameters
    ----------
    path : path
        A session file, or its address (``s3://…``).
    series : sequence of str, optional
        Names, paths or patterns of the time series to take; by default all. Units, trials and events are always
        there.
    window : tuple of float, optional
        First and last time of the series, in seconds. All else is whole: ``.restrict`` cuts it.

    Returns
    -------
    PynappleSession
        By name: `Tsd`, `TsdFrame` (columns named by the ids of ROIs or electrodes, with the rest of their table as
        metadata) and `TsdTensor`, whose values stay in the file until they are asked for; a `TsGroup` for each table
        of units, with its columns as metadata (``TsGroup.index`` are the rows); a `TsGroup` of the events, a `Ts`
        for each type; an `IntervalSet` with metadata for each table of intervals.

    Raises
    ------
    UnknownNameError
        If the file has no series of a name.
    ToolMissingError
        If pynapple is not installed.

    Notes
    -----
    An `IntervalSet` holds no intervals that overlap, that touch, or that last no time: pynapple would join, move or
    drop them. Such a table is a `pandas.DataFrame` here, and named in ``left_out``.
    """
    import_library("pynapple")
    session = SessionFile.at(path)
    return session.read(lambda reader: _read_session(session, reader, series, window))


def _read_session(
    session: SessionFile,
    reader: SessionReader,
    patterns: Sequence[str] | None,
    window: tuple[float, float] | None,
) -> PynappleSession:
    objects = PynappleSession()
    listed = list_series(reader)
    chosen = listed.series if patterns is None else select_series(listed, patterns, str(session))
    objects.left_out |= listed.left_out if patterns is None else {}
    support = _find_support(reader, listed)
    for name, series in chosen.items():
        first, stop = series.times.find_samples(reader.file, window)
        times = series.times.read(reader.file, first, stop)
        if np.any(np.diff(times) < 0) or not np.all(np.isfinite(times)):
            objects.left_out[series.path] = "its times don't increase, and pynapple would sort them"
            continue
        objects[name] = _make_series(series, times, StoredArray(session, series, first, stop), support)
        if series.confidence is not None:
            confidence = StoredArray(session, series, first, stop, confidence=True)
            objects[f"{name}.confidence"] = _make_series(series, times, confidence, support)
    for item in reader.objects:
        name = shorten_path(item.path)
        name = name if name not in objects else item.path.strip("/").replace("/", ".")
        if "TimeIntervals" in item.lineage:
            objects[name] = _make_intervals(reader.file[item.path], item, objects.left_out)
        elif "EventsTable" in item.lineage:
            objects[name] = _make_events(reader.file[item.path], support)
        elif "Units" in item.lineage:
            units = make_units(reader.file[item.path], support)
            if units is None:
                objects.left_out[item.path] = "the units have no spike times"
            else:
                objects[name] = units
    return objects


def _find_support(reader: SessionReader, listed: SeriesList) -> Any:
    """Return the time from the first to the last sample, spike, event or interval, as an `IntervalSet`.

    By default pynapple takes that from the first to the last spike of a unit, and drops one that fired once.
    """
    import pynapple as nap

    file = reader.file
    times = [series.times.read(file, at, at + 1) for series in listed.series.values() for at in series.times.ends]
    for item in reader.objects:
        for kind, columns in _TIMES.items():
            if kind in item.lineage:
                times += [file[item.path][name][()] for name in columns if name in file[item.path]]
    values = np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in times] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    first, last = (values.min(), values.max()) if len(values) else (0.0, 0.0)
    return nap.IntervalSet(first, last if last > first else first + 1e-6)


def _make_series(series: Series, times: Any, values: StoredArray, support: Any) -> Any:
    import pynapple as nap

    support = support if len(times) == 1 else None  # else from the first sample to the last
    if values.ndim == 1:
        return nap.Tsd(t=times, d=values, time_support=support, load_array=False)
    if values.ndim > 2:
        return nap.TsdTensor(t=times, d=values, time_support=support, load_array=False)
    axis = series.axes[0]
    metadata = {name: _plain(column) for name, column in axis.columns.items() if _is_free(name)}
    return nap.TsdFrame(
        t=times, d=values, time_support=support, columns=axis.labels, metadata=metadata or None, load_array=False
    )


def _plain(values: Any) -> Any:
    """Return a column as pynapple takes it: numbers as they are, texts as a list."""
    array = np.asarray(values)
    return array.astype(str) if array.dtype.kind == "O" else array


def _is_free(name: str) -> bool:
    """Return True if pynapple takes a column of that name as metadata: it has attributes of its own."""
    import pynapple as nap

    return (
        name.isidentifier()
        and not any(hasattr(kind, name) for kind in (nap.TsGroup, nap.TsdFrame, nap.IntervalSet, nap.Tsd))
        and name not in ("start", "end", "rate")
    )


def _read_metadata(group: h5py.Group, without: Sequence[str]) -> dict[str, Any]:
    """Return the columns of a table that have a number or a text for each row."""
    columns, _ = read_columns(group, without=without)
    metadata: dict[str, Any] = {}
    for name, values in columns.items():
        if name != "id" and isinstance(values, np.ndarray) and values.ndim == 1:
            metadata[name if _is_free(name) else f"{name}_"] = _plain(values)
    return metadata


def make_units(group: h5py.Group, support: Any, rows: Sequence[int] | None = None) -> Any | None:
    """Return the units of a table as a `TsGroup`, keys are the rows; None if it has no spike times."""
    import pynapple as nap

    if "spike_times_index" not in group:
        return None
    ends = np.asarray(group["spike_times_index"][()], dtype=np.int64)
    starts = np.concatenate(([0], ends[:-1]))
    chosen = list(range(len(ends)) if rows is None else rows)
    times = group["spike_times"]
    units = {row: nap.Ts(np.sort(times[starts[row] : ends[row]]), time_support=support) for row in chosen}
    metadata = _read_metadata(group, ("spike_times",))
    metadata = {"unit_id": np.asarray(group["id"][()]), **metadata}
    return nap.TsGroup(
        units, time_support=support, metadata={name: values[chosen] for name, values in metadata.items()}
    )


def _make_intervals(group: h5py.Group, item: NwbObject, left_out: dict[str, str]) -> Any:
    """Return a table of intervals as an `IntervalSet`; as a data frame, if pynapple would change it."""
    import pandas as pd
    import pynapple as nap

    start, stop = (np.asarray(group[name][()], dtype=np.float64) for name in ("start_time", "stop_time"))
    metadata = _read_metadata(group, ("start_time", "stop_time"))
    metadata = {"row": np.arange(len(start)), **metadata}
    order = np.argsort(start, kind="stable")
    first, last = start[order], stop[order]
    reason = None
    if not len(start):
        reason = "the table has no rows"
    elif not np.all(np.isfinite(first) & np.isfinite(last)):
        reason = "some times are missing"
    elif np.any(last <= first):
        reason = "some intervals last no time"
    elif np.any(first[1:] <= last[:-1]):
        reason = "some intervals overlap or touch"
    if reason is not None:
        left_out[item.path] = f"{reason}: a data frame, not an IntervalSet"
        return pd.DataFrame({"start_time": start, "stop_time": stop, **metadata})
    sorted_metadata = {name: values[order] for name, values in metadata.items()}
    return nap.IntervalSet(start=first, end=last, metadata=sorted_metadata)


def _make_events(group: h5py.Group, support: Any) -> Any:
    """Return a table of events as a `TsGroup`, one `Ts` for each type; as a `Ts` if it has no types."""
    import pynapple as nap

    columns, _ = read_columns(group)
    times = np.asarray(columns["timestamp"], dtype=np.float64)
    if "event_type" not in columns:
        return nap.Ts(np.sort(times[np.isfinite(times)]), time_support=support)
    names = np.asarray(columns["event_type"]).astype(str)
    kinds = sorted(set(names.tolist()))
    members = {
        number: nap.Ts(np.sort(times[(names == kind) & np.isfinite(times)]), time_support=support)
        for number, kind in enumerate(kinds)
    }
    return nap.TsGroup(members, time_support=support, metadata={"event_type": np.array(kinds)})
