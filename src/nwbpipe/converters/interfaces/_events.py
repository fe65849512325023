"""A log of named events → NWB's ``EventsTable``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from neuroconv.basetemporalalignmentinterface import BaseTemporalAlignmentInterface
from pydantic import FilePath

from nwbpipe.converters.interfaces import _event_tables as tables
from nwbpipe.errors import ClockError, SourceError

_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6}
_RESERVED = ("id", "timestamp", "duration", "event_type")
_MAX_LISTED = 30


class BehaviorEventsInterface(BaseTemporalAlignmentInterface):  # type: ignore[misc]  # NeuroConv is untyped
    """Named events from a CSV, TSV, Parquet or MATLAB file, or from lines of text.

    Written as one core ``EventsTable`` (NWB 2.10) with a row an event: ``timestamp``, ``duration`` where there is
    one, ``event_type``, and a column for each further value. The rows are in the order of time: a log that is not is
    sorted stably, and the table's description says so.

    Parameters
    ----------
    file_path : FilePath
        The log. ``.parquet``, ``.pqt`` and ``.mat`` (version 5 to 7.3) are told by their ending, all else is text.
    time_column : str
        Column of the times. Without a header and `column_names`, columns are called "0", "1", …
    name_column : str, optional
        Column of the events' names. Without it all events are of one kind.
    event_name : str, optional
        Name of all the events, where no column says it.
    duration_column : str, optional
        Column of the durations, in the unit of the times; empty cells are NaN.
    value_columns : list of str, optional
        Further columns to keep. Default: all.
    time_unit : {"s", "ms", "us"}
        Unit of the times and durations in the file.
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
        value_columns: list[str] | None = None,
        time_unit: Literal["s", "ms", "us"] = "s",
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
        arguments = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        super().__init__(**{k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()})
        if time_unit not in _PER_SECOND:
            raise self._error("an unknown unit of time", expected="s, ms or us", found=str(time_unit))
        self.metadata_key = metadata_key
        self._notes: list[str] = []
        self._load(Path(file_path), arguments)

    def _load(self, path: Path, args: dict[str, Any]) -> None:
        table = self._table(path, args)
        if not len(table):
            raise self._error("the log holds no events", hint="check the file, or leave this source out")
        scale = _PER_SECOND[args["time_unit"]]
        times = self._numbers(table, args["time_column"], "time") / scale
        bad = np.flatnonzero(~np.isfinite(times))
        if bad.size:
            raise self._error(
                "events without a time",
                expected="a finite number in each row",
                found=f"{bad.size} of {times.size}, the first in row {bad[0] + 1}: "
                f"{table[args['time_column']].iloc[bad[0]]!r}",
            )
        names = self._event_names(table, args)
        order = np.argsort(times, kind="stable")
        if (np.diff(times) < 0).any():
            self._notes.append("the log was not in the order of time and was sorted stably")
        self._original: npt.NDArray[np.float64] = times[order]
        self._aligned: npt.NDArray[np.float64] | None = None
        self.names = None if names is None else [names[i] for i in order]
        duration = args["duration_column"]
        self._durations = None
        if duration is not None:
            self._durations = (self._numbers(table, duration, "duration") / scale)[order]
        taken = {args["time_column"], args["name_column"], duration}
        kept = args["value_columns"]
        if kept is None:
            kept = [name for name in table.columns if name not in taken]
        self._values = {name: _typed(self._column(table, name))[order] for name in kept}

    def _table(self, path: Path, args: dict[str, Any]) -> Any:
        lines, total = None, None
        if args["pattern"] is not None:
            skip = args["unmatched_lines"] == "skip"
            table, lines, total = tables.read_pattern(path, args["pattern"], skip, args["encoding"])
            if skip:
                self._notes.append(f"{len(lines)} of {total} lines matched the pattern")
        elif path.suffix.lower() in (".parquet", ".pqt"):
            table = tables.read_parquet(path)
        elif path.suffix.lower() == ".mat":
            table = tables.read_mat(path, args["variable"])
        else:
            table = tables.read_delimited(
                path, args["delimiter"], args["header"], args["column_names"], args["encoding"]
            )
        if args["times_file_path"] is None:
            return table
        stamps = tables.read_lines_of_times(Path(args["times_file_path"]), args["encoding"])
        count = len(table) if total is None else total
        if len(stamps) != count:
            raise self._error(
                "the file of times doesn't fit the log",
                where=str(args["times_file_path"]),
                expected=f"{count} lines, one for each line of the log",
                found=f"{len(stamps)}",
            )
        column = args["time_column"]
        if column in table.columns:
            table = table.rename(columns={column: f"{column}_in_log"})
        table[column] = stamps if lines is None else [stamps[i] for i in lines]
        return table

    def _event_names(self, table: Any, args: dict[str, Any]) -> list[str] | None:
        column, name = args["name_column"], args["event_name"]
        if column is None:
            return None if name is None else [name] * len(table)
        if name is not None:
            raise self._error("both name_column and event_name are given", expected="one of them")
        cells = self._column(table, column)
        names = [_text(cell) for cell in cells]
        missing = [i for i, text in enumerate(names) if not text]
        if missing:
            raise self._error(
                "events without a name",
                expected=f"a name in column {column} of each row",
                found=f"{len(missing)} of {len(names)} missing, the first in row {missing[0] + 1}",
            )
        return names

    def _column(self, table: Any, name: str) -> Any:
        if name not in table.columns:
            raise self._error(
                f"no column {name!r}",
                expected=name,
                found="the columns " + ", ".join(map(str, table.columns)),
                hint="name the columns with time_column, name_column, duration_column, value_columns",
            )
        return table[name]

    def _numbers(self, table: Any, name: str, what: str) -> npt.NDArray[np.float64]:
        column = self._column(table, name)
        if pd.api.types.is_datetime64_any_dtype(column):
            raise self._error(f"the {what} column {name} holds dates", expected="numbers", found=str(column.iloc[0]))
        numbers = pd.to_numeric(column.replace("", np.nan), errors="coerce")
        unread = np.flatnonzero(numbers.isna() & ~column.isna() & (column.astype(str).str.lower() != "nan"))
        wrong = [i for i in unread if str(column.iloc[i]).strip()]
        if wrong:
            raise self._error(
                f"a {what} that is no number",
                expected=f"a number in column {name}",
                found=f"{column.iloc[wrong[0]]!r} in row {wrong[0] + 1}; {len(wrong)} such rows",
                hint="if the first line is no header, say header: false",
            )
        return np.asarray(numbers, dtype=np.float64)

    def _error(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> SourceError:
        where = where or str(self.source_data["file_path"])
        return SourceError(what, where=where, expected=expected, found=found, hint=hint)

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
                where=str(self.source_data["file_path"]),
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
        from hdmf.common import MeaningsTable, VectorData
        from pynwb.event import DurationVectorData, EventsTable, TimestampVectorData

        columns: list[Any] = [
            TimestampVectorData(name="timestamp", description="time of the event", data=self.get_timestamps())
        ]
        if self._durations is not None:
            text = "duration of the event; NaN where it has none"
            columns.append(DurationVectorData(name="duration", description=text, data=self._durations))
        names = None
        if self.names is not None:
            kinds = sorted(set(self.names))
            text = f"kind of event, one of {len(kinds)}"
            text += ": " + ", ".join(kinds) if len(kinds) <= _MAX_LISTED else ""
            names = VectorData(name="event_type", description=text, data=self.names)
            columns.append(names)
        for name, values in self._values.items():
            columns.append(VectorData(name=_safe(name), description=f"{name}, as in the log", data=values))
        table = EventsTable(
            name=self.metadata_key,
            description=self._description(),
            source_description=Path(self.source_data["file_path"]).name,
            columns=columns,
        )
        meanings = self.source_data["event_meanings"]
        if meanings and names is not None:
            explained = MeaningsTable(target=names, description="What each kind of event is.")
            for value, meaning in meanings.items():
                explained.add_row(value=value, meaning=meaning)
            table.add_meanings_table(explained)
        nwbfile.add_events_table(table)

    def _description(self) -> str:
        text = self.source_data["description"] or f"Events read from {Path(self.source_data['file_path']).name}"
        return "; ".join([text.rstrip("."), *self._notes]) + "."


def _text(cell: Any) -> str:
    missing = cell is None or (isinstance(cell, float) and np.isnan(cell)) or cell is pd.NaT or cell is pd.NA
    return "" if missing else str(cell).strip()


def _typed(column: Any) -> npt.NDArray[Any]:
    """Make numbers of a column whose cells are all numbers or missing, booleans of True and False, else text."""
    if pd.api.types.is_bool_dtype(column) or (pd.api.types.is_numeric_dtype(column) and not column.isna().any()):
        return np.asarray(column)
    cells = [_text(cell) for cell in column]
    if all(cell in ("True", "False") for cell in cells):
        return np.array([cell == "True" for cell in cells])
    plain = pd.Series(cells).replace("", np.nan)
    numbers = pd.to_numeric(plain, errors="coerce")
    if plain.notna().any() and not (numbers.isna() & plain.notna() & (plain.str.lower() != "nan")).any():
        return np.asarray(numbers)
    return np.array(cells, dtype=object)


def _safe(name: str) -> str:
    plain = name.replace("/", "_").replace(":", "_")
    return f"{plain}_value" if plain in _RESERVED else plain
