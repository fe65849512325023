"""A log of named events → NWB's ``EventsTable``."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from neuroconv.basetemporalalignmentinterface import BaseTemporalAlignmentInterface
from pydantic import FilePath

from nwbpipe.converters.interfaces._columns import (
    TableColumns,
    TimeUnit,
    check_increasing,
    per_second,
    unwrap_counter,
)
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._event_tables import read_table
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.converters.interfaces._interval_tables import read_value_columns
from nwbpipe.errors import ClockError
from nwbpipe.nwb_builders import make_events_table


@interface(extra="behavior")
class BehaviorEventsInterface(FileInterface, BaseTemporalAlignmentInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """Named events from a CSV, TSV, Parquet or MATLAB file, or from lines of text.

    Written as one core ``EventsTable`` (NWB 2.10) with a row an event: ``timestamp``, ``duration`` where there is
    one, ``event_type``, and a column for each further value. The rows are in the order of time: a log that is not is
    refused, or, with ``unsorted: sort``, sorted stably, and the table's description says so.

    Parameters
    ----------
    file_path : FilePath
        The log. ``.parquet``, ``.pqt`` and ``.mat`` (version 5 to 7.3) are told by their ending, all else is text.
    time_column : str
        Column of the times, or several spellings, as for every column: ``time|timestamp``. Without a header and
        `column_names`, columns are called "0", "1", …
    name_column : str, optional
        Column of the events' names. Without it all events are of one kind.
    event_name : str, optional
        Name of all the events, where no column says it.
    duration_column : str, optional
        Column of the durations, in the unit of the times; empty cells are NaN.
    stop_column : str, optional
        Column of the events' ends, in place of `duration_column`; empty cells are NaN.
    value_columns : list of str, optional
        Further columns to keep. Default: all.
    time_columns : list of str, optional
        Which of them are times in the file's clock and unit: they move with the clock, and become seconds. A kept
        column of numbers called ``…_time`` or ``…_times`` must be one of them, or be named in `duration_columns`.
    duration_columns : list of str, optional
        Which of them are durations in the file's unit: they become seconds.
    time_unit : {"s", "ms", "us", "iso"}
        Unit of the times and durations in the file. ``iso``: dates and times with a time zone, which become seconds
        since `time_zero`; durations are in seconds.
    time_zero : str, optional
        Date and time, with a time zone, that is 0 of the clock, where the times are dates.
    time_wrap : float, optional
        Value, in that unit, at which the clock's counter starts again at 0, e.g. 4294967296.
    event_names : dict of str to str, optional
        What the log calls each event → its name in the file. Then an event that is not listed is refused.
    unknown_events : {"error", "skip"}
        What to do with events that `event_names` doesn't list. How many were skipped stands in the description.
    unsorted : {"error", "sort"}
        What to do with a log that is not in the order of time.
    delimiter : str, optional
        Between columns; default a tab in ``.tsv``, else a comma.
    header : bool
        Whether the first line names the columns.
    column_names : list of str, optional
        Names of all columns, in place of the file's.
    pattern : str, optional
        Regular expression that each line matches as a whole; its named groups are the columns.
    unmatched_lines : {"error", "skip"}
        What to do with lines that don't match `pattern`. How many were skipped stands in the description.
    times_file_path : FilePath, optional
        A file with one time for each line of the log, in place of `time_column`.
    variable : str, optional
        Of a ``.mat`` file: dotted path of the struct that holds the columns.
    event_meanings : dict of str to str, optional
        What the names mean; becomes a ``MeaningsTable``.
    description : str, optional
        Of the table.
    encoding : str
        Of text.
    metadata_key : str
        Name of the table.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        The file can't be read, lacks a column, holds no events, or has times or names that are missing.
    """

    display_name = "Behavior events"
    keywords = ("events", "behavior")
    associated_suffixes = (".csv", ".tsv", ".txt", ".parquet", ".mat")
    info = "Interface for logs of named events."

    def __init__(
        self,
        file_path: FilePath,
        *,
        time_column: str = "time",
        name_column: str | None = None,
        event_name: str | None = None,
        duration_column: str | None = None,
        stop_column: str | None = None,
        value_columns: list[str] | None = None,
        time_columns: list[str] | None = None,
        duration_columns: list[str] | None = None,
        time_unit: TimeUnit = "s",
        time_zero: str | None = None,
        time_wrap: float | None = None,
        event_names: dict[str, str] | None = None,
        unknown_events: Literal["error", "skip"] = "error",
        unsorted: Literal["error", "sort"] = "error",
        delimiter: str | None = None,
        header: bool = True,
        column_names: list[str] | None = None,
        pattern: str | None = None,
        unmatched_lines: Literal["error", "skip"] = "error",
        times_file_path: FilePath | None = None,
        variable: str | None = None,
        event_meanings: dict[str, str] | None = None,
        description: str | None = None,
        encoding: str = "utf-8-sig",
        metadata_key: str = "BehaviorEvents",
        verbose: bool = False,
    ) -> None:
        super().__init__(locals())
        self._load(self.source_data)

    def _load(self, args: dict[str, Any]) -> None:
        scale, spellings = per_second(args["time_unit"], str(self._path)), args["time_column"]
        table, self._notes = read_table(self._path, args, spellings.split("|")[0])
        columns = TableColumns(table, str(self._path), args["time_zero"])
        if not len(columns):
            raise self._error("the log holds no events", hint="check the file, or leave this source out")
        time_column = columns.name(spellings, "time_column")
        times = unwrap_counter(columns.times(time_column, args["time_unit"]), args["time_wrap"], rising=True) / scale
        bad = np.flatnonzero(~np.isfinite(times))
        if bad.size:
            raise self._error(
                "events without a time",
                expected="a finite number in each row",
                found=f"{bad.size} of {times.size}, the first in row {bad[0] + 1}: "
                f"{table[time_column].iloc[bad[0]]!r}",
                hint="correct the file: an event without a time is none",
            )
        name_column = None if args["name_column"] is None else columns.name(args["name_column"], "name_column")
        names = self._event_names(columns, name_column, args)
        keep = np.arange(times.size)
        if args["event_names"] is not None:
            names, keep = self._rename_events(names, args)
        times = times[keep]
        order = np.argsort(times, kind="stable")
        if (np.diff(times) < 0).any():
            if args["unsorted"] != "sort":
                hint = "check the time column; if the log is written out of order, say unsorted: sort"
                check_increasing(times, str(self._path), "events", hint=hint)
            self._notes.append("the log was not in the order of time and was sorted stably")
        self._original: npt.NDArray[np.float64] = times[order]
        self._aligned: npt.NDArray[np.float64] | None = None
        self.names = None if names is None else [names[i] for i in order]
        rows = keep[order]
        lengths, length_column = self._read_durations(columns, args, scale)
        self._durations = None
        if lengths is not None:
            self._durations = lengths[rows] if args["stop_column"] is None else lengths[rows] - self._original
            if (self._durations < 0).any():
                raise self._error(
                    f"{int((self._durations < 0).sum())} of {rows.size} events end before they start",
                    expected="an end after the start, or a duration of 0 or more",
                    found=f"the shortest lasts {np.nanmin(self._durations):.6f} s",
                    hint=f"check the column {length_column} and its unit",
                )
        if args["time_wrap"] is not None and args["time_columns"]:
            raise self._error(
                "further times of a counter that overflows can't be told apart",
                expected="time_wrap, or time_columns",
                found="both",
                hint="leave the columns out, or unwrap the file's times first",
            )
        self._values = read_value_columns(columns, args, {time_column, name_column, length_column}, rows)

    def _read_durations(
        self, columns: TableColumns, args: dict[str, Any], scale: float
    ) -> tuple[npt.NDArray[np.float64] | None, str | None]:
        """Durations, or ends, of all rows in seconds, and their column."""
        spellings, stop = args["duration_column"], args["stop_column"]
        if spellings and stop:
            raise self._error(
                "both duration_column and stop_column are given", expected="one of them", hint="drop one"
            )
        if stop:
            name = columns.name(stop, "stop_column")
            return columns.times(name, args["time_unit"]) / scale, name
        if spellings:
            name = columns.name(spellings, "duration_column")
            return columns.numbers(name, "duration") / scale, name
        return None, None

    def _rename_events(self, names: list[str] | None, args: dict[str, Any]) -> tuple[list[str], npt.NDArray[np.intp]]:
        """Rename the events; refuse, or leave out, those that the spec doesn't list."""
        known, skip = args["event_names"], args["unknown_events"] == "skip"
        if names is None:
            raise self._error("event_names is given, but no name_column", expected="both", hint="name the column")
        unknown = Counter(name for name in names if name not in known)
        if unknown and not skip:
            listed = ", ".join(f"{name!r} ({count})" for name, count in unknown.most_common(10))
            raise self._error(
                f"{unknown.total()} of {len(names)} events have a name that the spec doesn't list",
                expected=", ".join(map(repr, known)),
                found=listed,
                hint="add them to event_names, or say unknown_events: skip",
            )
        keep = np.array([i for i, name in enumerate(names) if name in known], dtype=np.intp)
        if not keep.size:
            raise self._error(
                "no event has a name that the spec lists",
                expected=", ".join(map(repr, known)),
                found=", ".join(map(repr, sorted(set(names))[:10])),
                hint="correct event_names",
            )
        if unknown:
            self._notes.append(f"{unknown.total()} events of other names were left out")
        return [known[names[i]] for i in keep], keep

    def _event_names(self, columns: TableColumns, column: str | None, args: dict[str, Any]) -> list[str] | None:
        name = args["event_name"]
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
            There is no such event.
        """
        if self.names is None or name not in self.names:
            found = ", ".join(sorted(set(self.names))) if self.names else "events without names"
            raise self._error(f"no event is called {name!r}", expected=name, found=found)
        times: npt.NDArray[np.float64] = self.get_timestamps()[[other == name for other in self.names]]
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
        times = np.asarray(aligned_timestamps, dtype=np.float64)
        sound = times.shape == self._original.shape and bool(np.isfinite(times).all())
        if not sound or (np.diff(times) < 0).any():
            raise ClockError(
                "the aligned times don't fit the events",
                where=str(self._path),
                expected=f"{self._original.size} finite times that don't decrease",
                found=f"shape {times.shape}, {np.count_nonzero(~np.isfinite(times))} not finite",
            )
        self._aligned = times

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
        meanings = self.source_data["event_meanings"]
        if meanings and self.names is not None:
            explained = MeaningsTable(target=table["event_type"], description="What each kind of event is.")
            for value, meaning in meanings.items():
                explained.add_row(value=value, meaning=meaning)
            table.add_meanings_table(explained)
        nwbfile.add_events_table(table)

    def _description(self) -> str:
        return self._describe(f"Events read from {self._path.name}")
