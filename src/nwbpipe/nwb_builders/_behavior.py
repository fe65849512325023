"""Events and intervals of behaviour → NWB core's ``EventsTable`` and ``TimeIntervals``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

_MAX_LISTED = 30
_RESERVED = {
    "EventsTable": ("timestamp", "duration", "event_type", "annotation"),
    "TimeIntervals": ("start_time", "stop_time", "tags", "timeseries"),
}


@cache
def _attribute_names(table: str) -> frozenset[str]:
    """Return the names that a table's own attributes and methods have: a column of that name hides behind them."""
    from pynwb.epoch import TimeIntervals
    from pynwb.event import EventsTable

    attributes = dir({"EventsTable": EventsTable, "TimeIntervals": TimeIntervals}[table])
    return frozenset({"id", "meanings_tables", *attributes, *_RESERVED[table]})


@dataclass(frozen=True)
class Column:
    """A further column of a table.

    Parameters
    ----------
    name : str
    description : str
    values : ndarray of shape (n_rows, …), or list of 1-D ndarray
        A list has one array a row: a ragged column.
    kind : {"value", "time", "duration"}
        ``time``: seconds in the clock of the table, which move with it. ``duration``: seconds that don't.
    """

    name: str
    description: str
    values: Any
    kind: Literal["value", "time", "duration"] = "value"


def make_events_table(
    name: str,
    description: str,
    times: npt.ArrayLike,
    *,
    names: Sequence[str] | None = None,
    durations: npt.ArrayLike | None = None,
    columns: Iterable[Column] = (),
    source: str | None = None,
) -> Any:
    """Make an ``EventsTable``.

    Parameters
    ----------
    name, description : str
        Of the table.
    times : array_like of float, shape (n_events,)
        In seconds.
    names : sequence of str, optional
        Kind of each event; becomes the column ``event_type``.
    durations : array_like of float, shape (n_events,), optional
        In seconds; NaN where an event has none.
    columns : iterable of Column
    source : str, optional
        Origin of the events, such as a file's name.

    Returns
    -------
    pynwb.event.EventsTable
    """
    from hdmf.common import VectorData
    from pynwb.event import DurationVectorData, EventsTable, TimestampVectorData

    vectors: list[Any] = [
        TimestampVectorData(name="timestamp", description="time of the event", data=np.asarray(times, np.float64))
    ]
    if durations is not None:
        text = "duration of the event; NaN where it has none"
        vectors.append(DurationVectorData(name="duration", description=text, data=np.asarray(durations, np.float64)))
    if names is not None:
        kinds = sorted(set(names))
        text = f"kind of event, one of {len(kinds)}"
        text += ": " + ", ".join(kinds) if len(kinds) <= _MAX_LISTED else ""
        vectors.append(VectorData(name="event_type", description=text, data=list(names)))
    further, description = _make_columns(columns, "EventsTable", description)
    vectors += further
    return EventsTable(name=name, description=description, source_description=source, columns=vectors)


def make_intervals_table(
    name: str,
    description: str,
    start: npt.ArrayLike,
    stop: npt.ArrayLike,
    *,
    columns: Iterable[Column] = (),
    ids: npt.ArrayLike | None = None,
) -> Any:
    """Make a ``TimeIntervals`` table.

    Parameters
    ----------
    name, description : str
        Of the table.
    start, stop : array_like of float, shape (n_intervals,)
        In seconds.
    columns : iterable of Column
    ids : array_like of int, optional
        Ids of the rows; 0, 1, … by default.

    Returns
    -------
    pynwb.epoch.TimeIntervals
    """
    from hdmf.common import VectorData
    from pynwb.epoch import TimeIntervals

    vectors: list[Any] = [
        VectorData(name="start_time", description="start, in seconds", data=np.asarray(start, np.float64)),
        VectorData(name="stop_time", description="end, in seconds", data=np.asarray(stop, np.float64)),
    ]
    further, description = _make_columns(columns, "TimeIntervals", description)
    vectors += further
    more = {} if ids is None else {"id": np.asarray(ids, dtype=np.int64)}
    return TimeIntervals(name=name, description=description, columns=vectors, **more)


def safe_name(name: str, table: Literal["EventsTable", "TimeIntervals"]) -> str:
    """Return a valid name for a column of that table: HDF5 takes it, and NWB has not reserved it."""
    plain = re.sub(r"[/:\0]", "_", name).strip()
    if plain in ("", "."):
        plain = "column"
    return f"{plain}_value" if plain in _attribute_names(table) else plain


def _make_columns(
    columns: Iterable[Column], table: Literal["EventsTable", "TimeIntervals"], description: str
) -> tuple[list[Any], str]:
    """Make the vectors of further columns; the table's description then says which have another name."""
    columns = list(columns)
    names = {column.name for column in columns}
    vectors, renamed = [], []
    for column in columns:
        name = safe_name(column.name, table)
        is_reserved = name == f"{column.name}_value"
        if name.endswith(("_time", "_times")) and _is_text(column.values):
            name += "_text"  # readers take such a column for numbers
        while name != column.name and name in names:
            name += "_"
        names.add(name)
        if is_reserved:
            renamed.append(f"the column {column.name!r} is called {name}, as NWB reserves its name")
        vectors += _vectors(column, name)
    return vectors, "; ".join([description.rstrip("."), *renamed]) + "." if renamed else description


def _vectors(column: Column, name: str) -> list[Any]:
    from hdmf.common import VectorData, VectorIndex
    from pynwb.event import DurationVectorData, TimestampVectorData

    kind = {"value": VectorData, "time": TimestampVectorData, "duration": DurationVectorData}[column.kind]
    description = column.description or name
    if not isinstance(column.values, list):
        return [kind(name=name, description=description, data=_column_data(column))]
    lengths = [len(row) for row in column.values]
    flat = np.concatenate([np.asarray(row) for row in column.values]) if sum(lengths) else np.zeros(0)
    vector = kind(name=name, description=description, data=flat)
    return [VectorIndex(name=f"{name}_index", data=np.cumsum(lengths, dtype=np.int64), target=vector), vector]


def _is_text(values: Any) -> bool:
    return not isinstance(values, list) and np.asarray(values).dtype.kind in "OU"


def _column_data(column: Column) -> Any:
    values = np.asarray(column.values)
    return list(values) if values.dtype.kind in "OU" else values
