"""Series, spikes and events of one session or of several, cut around an event of each trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.catalog import read_columns
from nwbpipe.errors import NwbpipeError, RequestError, UnknownNameError, WorkError
from nwbpipe.export._libraries import import_library
from nwbpipe.export._read_series import Axis, Floats, is_named, list_series, name_paths, select_series
from nwbpipe.export._spikes import list_point_processes, read_events, read_point_processes
from nwbpipe.export._stored_array import StoredArray
from nwbpipe.export._xarray import TIME_ATTRIBUTES, describe_session, name_axes, name_session
from nwbpipe.processors.behavior import NO_TIME, OUTSIDE, find_window, mean_of_bins, sample_series
from nwbpipe.session import SessionFile, SessionReader
from nwbpipe_kit.turns import Turns, find_turns
from nwbpipe_kit.windows import resolve

if TYPE_CHECKING:
    import xarray

UNOBSERVED = "no unit was observed in the window"
METHODS = ("mean", "linear", "nearest", "previous")


def align(
    files: Path | str | Sequence[Path | str],
    *,
    around: str,
    window: tuple[float, float],
    series: Sequence[str],
    bin: float,
    method: str | None = None,
) -> xarray.Dataset | xarray.DataTree:
    """Cut series, spikes and events around a time of each trial, on one grid of bins.

    Parameters
    ----------
    files : path, or sequence of path
        One session file, or several (``s3://…`` too).
    around : str
        Table and column whose times are 0: ``"trials.go_cue"``, ``"trials.start_time"``; or a table of events and a
        type: ``"events.reward"``, ``"events.timestamp"`` for all.
    window : tuple of float
        First and last time of the bins, in seconds from there: a whole number of bins.
    series : sequence of str
        Names, paths or patterns of series, and of tables of units (counts of spikes) or of events (counts of each
        type): ``["units", "Fluorescence_suite2p.*", "wheel"]``.
    bin : float
        Length of the bins, in seconds.
    method : {"mean", "linear", "nearest", "previous"}, optional
        How a series is brought to the bins: the mean of the samples in each; or its value at the middle of each, as
        `trialize` reads it. By default ``mean``, and ``linear`` for a series whose samples are farther apart than
        the bins are long. ``nearest`` or ``previous`` for labels.

    Returns
    -------
    xarray.Dataset
        Of one file. Each variable has the dimensions ``trial``, ``time`` (the middle of each bin, seconds from the
        alignment) and that of its columns; the columns of the trials' table are coordinates of ``trial``, and
        ``alignment_time`` the time on the session's clock. A value that the file does not have is NaN: a bin without
        samples, a unit that was not observed. The variables ``left_out_series``, ``left_out_trial`` and
        ``left_out_reason`` list the trials without data of a series; those without data of any are not in ``trial``.
    xarray.DataTree
        Of a sequence of files: a Dataset for each session, as their neurons differ. Files without the table or a
        series are in the attribute ``left_out`` (JSON: file and reason).

    Raises
    ------
    RequestError
        If the window or the bin is wrong, or `method` is not known.
    UnknownNameError
        If a file has no such table, column or series; of several, if none has.

    Examples
    --------
    >>> tree = align(files, around="trials.go_cue", window=(-1, 2), series=["units"], bin=0.01)  # doctest: +SKIP
    >>> tree["sub-M1_ses-a"]["units"].mean("trial") / 0.01  # doctest: +SKIP
    """
    import_library("xarray")
    grid = _Grid.of(window, bin, method)
    if isinstance(files, Path | str):
        session = SessionFile.at(files)
        return session.read(partial(_align_session, session, around=around, patterns=series, grid=grid))
    return _align_sessions([SessionFile.at(file) for file in files], around, series, grid)


@dataclass(frozen=True)
class _Grid:
    """Bins around the alignment, in seconds."""

    edges: Floats
    bin: float
    method: str | None

    @classmethod
    def of(cls, window: tuple[float, float], bin: float, method: str | None) -> _Grid:
        if method not in (None, *METHODS):
            raise RequestError("the method is not known", expected=", ".join(METHODS), found=str(method))
        start, stop = map(float, window)
        length = (stop - start) / bin if bin > 0 else 0.0
        count = round(length) if np.isfinite(length) else 0
        if count < 1 or abs(length - count) > 1e-6 * max(count, 1):
            raise RequestError(
                "the window is not a whole number of bins",
                expected="a first time, a later one, and a bin that divides the time between them",
                found=f"window ({start:g}, {stop:g}) s, bin {bin:g} s",
                hint="change the bin or the window",
            )
        return cls(start + float(bin) * np.arange(count + 1, dtype=np.float64), float(bin), method)

    @property
    def middles(self) -> Floats:
        return self.edges[:-1] + self.bin / 2


@dataclass(frozen=True)
class Anchors:
    """Rows of a table, and the time of each that is 0."""

    path: str
    times: Floats
    ids: Any
    columns: dict[str, Any]


@dataclass(frozen=True)
class _Aligned:
    """A variable: values of all trials, shape (n_trials, n_bins, …), and why some trials have none."""

    values: Any
    axes: tuple[Axis, ...]
    attributes: dict[str, str]
    left_out: dict[int, str]


def _align_sessions(
    sessions: Sequence[SessionFile], around: str, series: Sequence[str], grid: _Grid
) -> xarray.DataTree:
    import xarray

    nodes: dict[str, xarray.Dataset] = {}
    left_out: dict[str, str] = {}
    errors: list[NwbpipeError] = []
    for session in sessions:
        try:
            aligned = session.read(partial(_align_session, session, around=around, patterns=series, grid=grid))
        except (UnknownNameError, WorkError) as error:
            left_out[str(session)] = str(error.problem)
            errors.append(error)
            continue
        name = name_session(aligned.attrs, session)
        if name in nodes:
            msg = f"two files are of the session {name}"
            raise RequestError(msg, where=str(session), hint="leave one of them out")
        nodes[name] = aligned
    if errors and not nodes:
        raise errors[0]
    attributes = {"around": around, "left_out": json.dumps(left_out)}
    return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=attributes), **nodes})


def _align_session(
    session: SessionFile, reader: SessionReader, *, around: str, patterns: Sequence[str], grid: _Grid
) -> xarray.Dataset:
    import xarray

    anchors = find_anchors(reader, around, str(session))
    aligned = _align_all(session, reader, patterns, anchors, grid)
    dimensions, coordinates = name_axes({name: part.axes for name, part in aligned.items()})
    rows = range(len(anchors.times))
    rows_with_data = np.array(
        [row for row in rows if any(row not in part.left_out for part in aligned.values())], dtype=np.int64
    )
    coordinates |= {
        "time": ("time", grid.middles, TIME_ATTRIBUTES | {"long_name": f"time from {around}"}),
        "trial": ("trial", anchors.ids[rows_with_data]),
        "alignment_time": ("trial", anchors.times[rows_with_data], TIME_ATTRIBUTES),
    }
    for name, column in anchors.columns.items():
        free = name if name not in coordinates and name not in aligned else f"trial_{name}"
        coordinates[free] = ("trial", column[rows_with_data])
    variables: dict[str, Any] = {
        name: (("trial", "time", *dimensions[name]), part.values[rows_with_data], part.attributes)
        for name, part in aligned.items()
    }
    reasons = [(name, row, reason) for name, part in aligned.items() for row, reason in part.left_out.items()]
    for number, field in enumerate(("series", "trial", "reason")):
        values = [anchors.ids[entry[1]] if field == "trial" else entry[number] for entry in reasons]
        kind = anchors.ids.dtype if field == "trial" else object
        variables[f"left_out_{field}"] = (("left_out",), np.array(values, dtype=kind))
    attributes = describe_session(reader) | {"around": around, "bin_s": grid.bin}
    return xarray.Dataset(variables, coordinates, attributes)


def find_anchors(reader: SessionReader, around: str, where: str) -> Anchors:
    """Return the times that are 0, of a table of intervals or events."""
    table, _, column = around.rpartition(".")
    tables = name_paths(item.path for item in reader.objects if {"TimeIntervals", "EventsTable"} & item.lineage)
    path = tables.get(table, f"/{table.strip('/')}" if f"/{table.strip('/')}" in tables.values() else None)
    if path is None:
        msg = f"the file has no table {table!r}"
        expected = "one of " + (", ".join(tables) or "(none)")
        raise UnknownNameError(msg, where=where, expected=expected, found=around, hint="around='trials.start_time'")
    group = reader.file[path]
    columns, _ = read_columns(group)
    plain = {name: np.asarray(v) for name, v in columns.items() if isinstance(v, np.ndarray) and v.ndim == 1}
    ids = plain.pop("id", np.arange(len(next(iter(plain.values()), ()))))
    if "timestamp" in group and column not in plain:
        times, kinds = read_events(group)
        rows = np.flatnonzero(kinds == column)
        if len(rows):
            return Anchors(path, times[rows], ids[rows], {name: values[rows] for name, values in plain.items()})
        names = sorted(set(kinds.tolist()))
    else:
        names = [name for name, values in plain.items() if values.dtype.kind == "f"]
        if column in names:
            return Anchors(path, np.asarray(plain[column], dtype=np.float64), ids, plain)
    msg = f"{table} has no times {column!r}"
    raise UnknownNameError(msg, where=f"{where}: {path}", expected="one of " + ", ".join(names), found=around)


def _align_all(
    session: SessionFile, reader: SessionReader, patterns: Sequence[str], anchors: Anchors, grid: _Grid
) -> dict[str, _Aligned]:
    """Return the variables that patterns name."""
    listed, tables = list_series(reader), list_point_processes(reader)
    aligned: dict[str, _Aligned] = {}
    for pattern in patterns:
        named = {name: path for name, path in tables.items() if is_named(pattern, name, path.lstrip("/"))}
        for name, path in named.items():
            aligned[name] = _count(reader, path, anchors, grid)
        if not named:
            for name, series in select_series(listed, [pattern], str(session)).items():
                aligned[name] = _sample(reader, StoredArray(session, series, 0, series.times.count), anchors, grid)
    if not aligned:
        raise RequestError("no series is named", hint="series=['units', 'wheel']")
    return aligned


def _count(reader: SessionReader, path: str, anchors: Anchors, grid: _Grid) -> _Aligned:
    points = read_point_processes(reader, path)
    counts = points.count(anchors.times, grid.edges)
    left_out = dict.fromkeys(np.flatnonzero(~np.isfinite(anchors.times)).tolist(), NO_TIME)
    counts[list(left_out)] = np.nan
    if len(points.times):
        unseen = np.flatnonzero(~np.isfinite(counts).any(axis=(1, 2))).tolist()
        left_out = dict.fromkeys(unseen, UNOBSERVED) | left_out
    attributes = {"units": "1", "description": f"number in {grid.bin:g} s", "path": path}
    return _Aligned(counts, (points.axis,), attributes, left_out)


def _sample(reader: SessionReader, values: StoredArray, anchors: Anchors, grid: _Grid) -> _Aligned:
    series = values.series
    stamps = None if series.times.rate is not None else series.times.read(reader.file)
    interval = float(1 / (series.times.rate or 1) if stamps is None else np.median(np.diff(stamps)))
    method = grid.method or choose_method(interval, grid.bin)
    kind = np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64
    shape = (len(anchors.times), len(grid.middles), *series.shape[1:])
    out, left_out = np.full(shape, np.nan, dtype=kind), {}
    rate, start = series.times.rate or 0.0, series.times.start or 0.0
    turns = _find_turns(reader, values) if method in ("mean", "linear") else None
    low, high = (grid.edges if method == "mean" else grid.middles)[[0, -1]]
    for row, anchor in enumerate(anchors.times):
        if not np.isfinite(anchor):
            left_out[row] = NO_TIME
            continue
        first, last, times = find_window(stamps, rate, start, series.times.count, anchor, low, high)
        slack = max(1e-6 * interval, resolve(anchor))
        tail = interval if method == "mean" else 0.0  # the last sample lasts until the next one would be
        if last <= first or low < times[0] - slack or high > times[-1] + tail + slack:
            left_out[row] = OUTSIDE
            continue
        samples = values.read(reader, slice(first, last)).reshape(last - first, -1).astype(np.float64)
        out[row] = bin_samples(times, samples, grid.edges, method, 1.5 * interval, resolve(anchor), turns).reshape(
            shape[1:]
        )
    attributes = {"units": series.unit, "description": series.description, "path": series.path, "method": method}
    return _Aligned(out, series.axes, attributes, left_out)


def _find_turns(reader: SessionReader, values: StoredArray) -> Turns | None:
    """Return which columns are directions: their mean is taken over the end of a turn."""
    count, size = len(values), max(2**20 // max(int(np.prod(values.shape[1:])), 1), 1)
    parts = (slice(first, min(first + size, count)) for first in range(0, count, size))
    blocks = (values.read(reader, part).reshape(part.stop - part.start, -1).astype(np.float64) for part in parts)
    return find_turns(values.series.unit, blocks)


def choose_method(interval: float, bin: float) -> str:
    """Return how a series is brought to bins, if nobody says: its mean, unless its samples are farther apart."""
    return "mean" if interval <= bin * (1 + 1e-6) else "linear"


def bin_samples(
    times: Floats, samples: Floats, edges: Floats, method: str, max_gap: float, slack: float, turns: Turns | None
) -> Floats:
    """Return the values of a series in bins, NaN where it has none: shape (n_bins, n_columns).

    Parameters
    ----------
    times : ndarray, shape (n_samples,)
        Increasing.
    samples : ndarray, shape (n_samples, n_columns)
    edges : ndarray, shape (n_bins + 1,)
        A sample on an edge belongs to the bin that begins there.
    method : {"mean", "linear", "nearest", "previous"}
        The mean of the samples in each bin, or the value at its middle.
    max_gap, slack : float
        See `sample_series`.
    turns : Turns, optional
        Which columns are directions: they are averaged, and read between samples, over the end of a turn.
    """
    samples = samples if turns is None else turns.unwrap(samples)
    if method == "mean":
        binned = mean_of_bins(times, samples, np.column_stack([edges[:-1], edges[1:]]) - slack)
    else:
        binned = sample_series(times, samples, edges[:-1] + np.diff(edges) / 2, method, max_gap, slack)
    return binned if turns is None else turns.wrap(binned)
