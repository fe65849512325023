"""A log of named events → NWB's ``EventsTable``."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from neuroconv.basetemporalalignmentinterface import BaseTemporalAlignmentInterface

from nwbpipe.converters._counters import unwrap_counter
from nwbpipe.converters.interfaces._columns import TableColumns, check_increasing
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._event_tables import read_table
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.converters.interfaces._frame_times import check_timestamps
from nwbpipe.converters.interfaces._interval_tables import read_value_columns
from nwbpipe.converters.interfaces._row_filters import refuse_sessions
from nwbpipe.converters.interfaces._table_arguments import PER_SECOND, RowArguments
from nwbpipe.nwb_builders import make_events_table


class EventArguments(RowArguments):
    """Arguments of `BehaviorEventsInterface`."""

    time_column: str = "time"
    """Column of the times, or several spellings: ``time|timestamp``."""
    name_column: str | None = None
    """Column of the events' names. Without it all events are of one kind."""
    event_name: str | None = None
    """Name of all the events, where no column says it."""
    duration_column: str | None = None
    """Column of the durations, in the unit of the times; empty cells are NaN."""
    stop_column: str | None = None
    """Column of the events' ends, in place of `duration_column`; empty cells are NaN."""
    time_wrap: float | None = None
    """Value, in that unit, at which the clock's counter starts again at 0, e.g. 4294967296."""
    event_names: dict[str, str] | None = None
    """What the log calls each event → its name in the file. Then an event that is not listed is refused."""
    unknown_events: Literal["error", "skip"] = "error"
    """What to do with events that `event_names` doesn't list. The description says how many were skipped."""
    event_meanings: dict[str, str] | None = None
    """What the names mean; becomes a ``MeaningsTable``."""
    metadata_key: str = "BehaviorEvents"
    """Name of the table."""


@interface(extra="behavior")
class BehaviorEventsInterface(FileInterface[EventArguments], BaseTemporalAlignmentInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """Named events from a CSV, TSV, Parquet or MATLAB file, or from lines of text.

    Written as one core ``EventsTable`` (NWB 2.10) with a row an event: ``timestamp``, ``duration`` where there is
    one, ``event_type``, and a column for each further value. The rows are in the order of time: a log that is not is
    refused, or, with ``unsorted: sort``, sorted stably, and the table's description says so.

    Raises
    ------
    SourceError
        The file can't be read, lacks a column, holds no events, or has times or names that are missing.
    """

    display_name = "Behavior events"
    keywords = ("events", "behavior")
    associated_suffixes = (".csv", ".tsv", ".txt", ".parquet", ".mat")
    info = "Interface for logs of named events."

    def _read(self) -> None:
        args = self.args
        scale = PER_SECOND[args.time_unit]
        table, self._notes = read_table(args, args.time_column.split("|")[0])
        columns = TableColumns(table, str(self._path), args.time_zero)
        if not len(columns):
            raise self._error("the log holds no events", hint="check the file, or leave this source out")
        time_column = columns.name(args.time_column, "time_column")
        times = unwrap_counter(columns.times(time_column, args.time_unit), args.time_wrap, rising=True) / scale
        bad = np.flatnonzero(~np.isfinite(times))
        if bad.size:
            raise self._error(
                "events without a time",
                expected="a finite number in each row",
                found=f"{bad.size} of {times.size}, the first in row {bad[0] + 1}: "
                f"{table[time_column].iloc[bad[0]]!r}",
                hint="correct the file, or leave the row out of it",
            )
        name_column = None if args.name_column is None else columns.name(args.name_column, "name_column")
        names = self._event_names(columns, name_column)
        keep = np.arange(times.size)
        if args.event_names is not None:
            names, keep = self._rename_events(names, args.event_names)
        times = times[keep]
        refuse_sessions(table.iloc[keep], times, args, {time_column, name_column})
        order = np.argsort(times, kind="stable")
        if (np.diff(times) < 0).any():
            if args.unsorted != "sort":
                hint = "check the time column; if the log is written out of order, say unsorted: sort"
                check_increasing(times, str(self._path), "events", hint=hint)
            self._notes.append("the log was not in the order of time and was sorted stably")
        self._original: npt.NDArray[np.float64] = times[order]
        self._aligned: npt.NDArray[np.float64] | None = None
        self.names = None if names is None else [names[i] for i in order]
        rows = keep[order]
        lengths, length_column = self._read_durations(columns)
        self._durations = None
        if lengths is not None:
            self._durations = lengths[rows] if args.stop_column is None else lengths[rows] - self._original
            if (self._durations < 0).any():
                raise self._error(
                    f"{int((self._durations < 0).sum())} of {rows.size} events end before they start",
                    expected="an end after the start, or a duration of 0 or more",
                    found=f"the shortest lasts {np.nanmin(self._durations):.6f} s",
                    hint=f"check the column {length_column} and its unit",
                )
        if args.time_wrap is not None and args.time_columns:
            raise self._error(
                "further times of a counter that overflows are ambiguous",
                expected="time_wrap, or time_columns",
                found="both",
                hint="leave the columns out, or unwrap the file's times first",
            )
        self._values = read_value_columns(columns, args, {time_column, name_column, length_column}, rows)

    def _read_durations(self, columns: TableColumns) -> tuple[npt.NDArray[np.float64] | None, str | None]:
        """Return the durations, or the ends, of all rows in seconds, and their column."""
        args = self.args
        scale = PER_SECOND[args.time_unit]
        if args.duration_column and args.stop_column:
            raise self._error(
                "both duration_column and stop_column are given", expected="one of them", hint="drop one"
            )
        if args.stop_column:
            name = columns.name(args.stop_column, "stop_column")
            return columns.times(name, args.time_unit) / scale, name
        if args.duration_column:
            name = columns.name(args.duration_column, "duration_column")
            return columns.numbers(name, "duration") / scale, name
        return None, None

    def _rename_events(
        self, names: list[str] | None, new_names: dict[str, str]
    ) -> tuple[list[str], npt.NDArray[np.intp]]:
        """Rename the events; refuse, or leave out, those that the spec doesn't list."""
        if names is None:
            raise self._error("event_names is given, but no name_column", expected="both", hint="name the column")
        unknown = Counter(name for name in names if name not in new_names)
        if unknown and self.args.unknown_events != "skip":
            listed = ", ".join(f"{name!r} ({count})" for name, count in unknown.most_common(10))
            raise self._error(
                f"{unknown.total()} of {len(names)} events have a name that the spec doesn't list",
                expected=", ".join(map(repr, new_names)),
                found=listed,
                hint="add them to event_names, or say unknown_events: skip",
            )
        keep = np.array([i for i, name in enumerate(names) if name in new_names], dtype=np.intp)
        if not keep.size:
            raise self._error(
                "no event has a name that the spec lists",
                expected=", ".join(map(repr, new_names)),
                found=", ".join(map(repr, sorted(set(names))[:10])),
                hint="correct event_names",
            )
        if unknown:
            self._notes.append(f"{unknown.total()} events of other names were left out")
        return [new_names[names[i]] for i in keep], keep

    def _event_names(self, columns: TableColumns, column: str | None) -> list[str] | None:
        name = self.args.event_name
        if column is None:
            return None if name is None else [name] * len(columns)
        if name is not None:
            raise self._error("both name_column and event_name are given", expected="one of them", hint="drop one")
        names = columns.texts(column)
        missing = [i for i, text in enumerate(names) if not text]
        if missing:
            raise self._error(
                "events without a name",
                expected=f"a name in column {column} of each row",
                found=f"{len(missing)} of {len(names)} missing, the first in row {missing[0] + 1}",
                hint="correct the file, or read only its whole lines: `pattern` and unmatched_lines: skip",
            )
        return names

    def get_original_timestamps(self) -> npt.NDArray[np.float64]:
        """Times of the events in the file's own clock, in the order of time.

        Returns
        -------
        ndarray of float64, shape (n_events,)
            In seconds.
        """
        return self._original.copy()

    def get_timestamps(self) -> npt.NDArray[np.float64]:
        """Times of the events as they will be written.

        Returns
        -------
        ndarray of float64, shape (n_events,)
            In seconds from the session's start.
        """
        return self.get_original_timestamps() if self._aligned is None else self._aligned

    def get_event_times(self, name: str) -> npt.NDArray[np.float64]:
        """Times of the events of one name, as they will be written.

        Parameters
        ----------
        name : str

        Returns
        -------
        ndarray of float64
            In seconds from the session's start.

        Raises
        ------
        SourceError
            No event has that name.
        """
        if self.names is None or name not in self.names:
            names = ", ".join(sorted(set(self.names))) if self.names else "events without names"
            raise self._error(f"no event is called {name!r}", expected=name, found=names)
        times: npt.NDArray[np.float64] = self.get_timestamps()[[event == name for event in self.names]]
        return times

    def set_aligned_timestamps(self, aligned_timestamps: npt.ArrayLike) -> None:
        """Replace the times.

        Parameters
        ----------
        aligned_timestamps : array_like of float, shape (n_events,)
            In the order of :meth:`get_original_timestamps`, in seconds from the session's start.

        Raises
        ------
        ClockError
            Another number of times, or times that are not finite or that decrease.
        """
        self._aligned = check_timestamps(aligned_timestamps, self._original.size, str(self._path), "events")

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the events as an ``EventsTable`` in ``nwbfile.events``.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        from hdmf.common import MeaningsTable

        table = make_events_table(
            self.metadata_key,
            self._description(),
            self.get_timestamps(),
            names=self.names,
            durations=self._durations,
            columns=self._values,
            source=self._path.name,
        )
        meanings = self.args.event_meanings
        if meanings and self.names is not None:
            meanings_table = MeaningsTable(target=table["event_type"], description="What each kind of event is.")
            for value, meaning in meanings.items():
                meanings_table.add_row(value=value, meaning=meaning)
            table.add_meanings_table(meanings_table)
        nwbfile.add_events_table(table)

    def _description(self) -> str:
        return self._describe(f"Events read from {self._path.name}")
