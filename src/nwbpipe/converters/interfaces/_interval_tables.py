"""Reads trials and blocks, and refuses those that are not sound."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nwbpipe.converters.interfaces._columns import TableColumns, check_increasing
from nwbpipe.converters.interfaces._event_tables import read_table
from nwbpipe.converters.interfaces._file_interface import add_notes
from nwbpipe.converters.interfaces._row_filters import refuse_sessions
from nwbpipe.converters.interfaces._table_arguments import (
    PER_SECOND,
    BlockArguments,
    IntervalArguments,
    RowArguments,
    TableArguments,
)
from nwbpipe.errors import SourceError
from nwbpipe.nwb_builders import Column, make_intervals_table
from nwbpipe_kit.windows import resolve

Seconds = npt.NDArray[np.float64]
_TABLE_HINT = "check the columns; if that is so by design, say overlap: allow"


@dataclass(frozen=True)
class IntervalTable:
    """Intervals that are sound: finite, in order, each with its end after its start.

    Parameters
    ----------
    where : str
        The file that they are from.
    start, stop : ndarray of float64, shape (n_intervals,)
        In seconds, in the file's clock.
    columns : list of Column
    ids : ndarray of int64, shape (n_intervals,), optional
    description : str
        Of the table; empty for the standard one.
    notes : list of str
        Remarks for the description.
    """

    where: str
    start: Seconds
    stop: Seconds
    columns: list[Column] = field(default_factory=list)
    ids: npt.NDArray[np.int64] | None = None
    description: str = ""
    notes: list[str] = field(default_factory=list)

    def add(self, nwbfile: Any, table: str, content: str) -> None:
        """Write them as ``nwbfile.trials`` or ``nwbfile.epochs``.

        Raises
        ------
        ValueError
            The file has that table already.
        """
        if getattr(nwbfile, table) is not None:
            raise ValueError(f"'{table}' already exists")
        text = add_notes(self.description or f"{content} read from {Path(self.where).name}", self.notes)
        setattr(
            nwbfile,
            table,
            make_intervals_table(table, text, self.start, self.stop, columns=self.columns, ids=self.ids),
        )


def check_intervals(
    start: Seconds, stop: Seconds, where: str, kind: str, *, overlap: bool, hint: str = _TABLE_HINT
) -> None:
    """Refuse intervals that end before they start, last no time, go backwards or overlap.

    `hint` is the next step for those that overlap or go back.

    Raises
    ------
    SourceError
    """
    reversed_ = np.flatnonzero(stop <= start)
    if reversed_.size:
        row = int(reversed_[0])
        zeros = int(np.count_nonzero((start == 0) & (stop == 0)))
        raise SourceError(
            f"{reversed_.size} of {start.size} {kind}s end before they start, or last no time",
            where=where,
            expected="an end after the start",
            found=f"the first in row {row + 1}: {start[row]:.6f} s to {stop[row]:.6f} s"
            + (f"; {zeros} are 0 to 0" if zeros else ""),
            hint="if 0 stands for a missing time, say missing_value: 0 and incomplete: drop"
            if zeros
            else "check the columns and the unit",
        )
    check_increasing(start, where, f"{kind}s", hint=hint.replace("overlap: allow", "unsorted: sort"))
    late = np.flatnonzero(start[1:] < stop[:-1] - resolve(float(np.max(np.abs(stop)))))  # rounding lets some touch
    if late.size and not overlap:
        row = int(late[0])
        worst = float(np.max(stop[:-1] - start[1:]))
        raise SourceError(
            f"{late.size} of {start.size} {kind}s overlap",
            where=where,
            expected=f"each {kind} after the end of the one before",
            found=f"rows {row + 1} and {row + 2}: {start[row]:.6f} to {stop[row]:.6f} s, then from "
            f"{start[row + 1]:.6f} s; by {worst:.6f} s at most",
            hint=hint,
        )


def read_intervals(args: IntervalArguments, kind: str) -> IntervalTable:
    """Read a table of trials or blocks.

    Raises
    ------
    SourceError
        See `TrialsInterface`.
    """
    file = str(args.file_path)
    table, notes = read_table(args, args.start_column.split("|")[0])
    columns = TableColumns(table, file, args.time_zero)
    if not len(columns):
        raise columns.error(f"the file holds no {kind}s", hint="check the file, or leave this source out")
    start_name = columns.name(args.start_column, "start_column")
    start, stop, stop_name = _read_bounds(columns, args, start_name, kind)
    keep, note = _select_complete(start, stop, columns, args, kind)
    if note:
        notes.append(note)
    refuse_sessions(table.iloc[keep], start[keep], args, {start_name, stop_name})
    if args.unsorted == "sort" and (np.diff(start[keep]) < 0).any():
        keep = keep[np.argsort(start[keep], kind="stable")]
        notes.append(f"the {kind}s were not in the order of time and were sorted stably")
    check_intervals(start[keep], stop[keep], file, kind, overlap=args.overlap == "allow")
    id_name = None if args.id_column is None else columns.name(args.id_column, "id_column")
    return IntervalTable(
        where=file,
        start=start[keep],
        stop=stop[keep],
        columns=read_value_columns(columns, args, {start_name, stop_name, id_name}, keep, args.missing_value),
        ids=None if id_name is None else _read_ids(columns, id_name)[keep],
        description=args.description or "",
        notes=notes,
    )


def _read_bounds(
    columns: TableColumns, args: IntervalArguments, start_name: str, kind: str
) -> tuple[Seconds, Seconds, str]:
    scale = PER_SECOND[args.time_unit]
    by_trials = isinstance(args, BlockArguments) and args.trials_file_path is not None
    start = np.zeros(len(columns)) if by_trials else _read_times(columns, start_name, args, args.missing_value)
    if args.duration_column is not None:
        name = columns.name(args.duration_column, "duration_column")
        return start, start + columns.numbers(name, "duration") / scale, name
    if args.stop == "next_start":
        last = np.nan if args.last_stop is None else args.last_stop / scale
        return start, np.append(start[1:], last), start_name
    stop_name = columns.find(args.stop_column)
    if stop_name is None:
        raise columns.error(
            f"nothing says when the {kind}s end",
            expected="a column " + args.stop_column.replace("|", ", "),
            found="the columns " + ", ".join(map(str, columns.table.columns)),
            hint="name it with stop_column or duration_column, or say stop: next_start",
        )
    if isinstance(args, BlockArguments) and args.trials_file_path is not None:
        bounds = columns.numbers(start_name, "trial number"), columns.numbers(stop_name, "trial number")
        return (*_trials_to_times(columns, args, args.trials_file_path, *bounds), stop_name)
    return start, _read_times(columns, stop_name, args, args.missing_value), stop_name


def _read_times(columns: TableColumns, name: str, args: IntervalArguments, missing_value: float | None) -> Seconds:
    """Return a column of times in seconds; missing ones are NaN."""
    times = columns.times(name, args.time_unit)
    times = np.where(np.isfinite(times) & (times != missing_value), times, np.nan)
    return times / PER_SECOND[args.time_unit]


def _trials_to_times(
    columns: TableColumns, args: BlockArguments, path: Path, first: Seconds, last: Seconds
) -> tuple[Seconds, Seconds]:
    """Turn the numbers of the first and last trials into the times of those trials."""
    form = TableArguments(file_path=path, variable=args.variable, encoding=args.encoding, metadata_key="")
    trials = TableColumns(read_table(form)[0], str(path), args.time_zero)
    start_name = trials.name(args.trial_start_column, "trial_start_column")
    stop_name = trials.name(args.trial_stop_column, "trial_stop_column")
    start = _read_times(trials, start_name, args, args.trial_missing_value)
    stop = _read_times(trials, stop_name, args, args.trial_missing_value)
    if args.trial_column is None:
        numbers = np.arange(len(trials)) + args.first_trial
    else:
        numbers = _read_ids(trials, trials.name(args.trial_column, "trial_column"))
    unknown = sorted({float(value) for value in (*first, *last) if np.isfinite(value)} - set(map(float, numbers)))
    if unknown:
        raise columns.error(
            f"{len(unknown)} blocks name a trial that the table of trials lacks",
            expected=f"trials {numbers.min()} to {numbers.max()} of {path.name}",
            found=", ".join(f"{value:g}" for value in unknown[:10]),
            hint="check first_trial (0 or 1), or name the numbers' column with trial_column",
        )
    starts, stops = np.full(first.shape, np.nan), np.full(first.shape, np.nan)
    for row, (low, high) in enumerate(zip(first, last, strict=True)):
        inside = (numbers >= low) & (numbers <= high) & np.isfinite(start) & np.isfinite(stop)
        if inside.any():
            starts[row], stops[row] = start[inside].min(), stop[inside].max()
    return starts, stops


def _select_complete(
    start: Seconds, stop: Seconds, columns: TableColumns, args: IntervalArguments, kind: str
) -> tuple[npt.NDArray[np.intp], str | None]:
    missing = np.flatnonzero(~(np.isfinite(start) & np.isfinite(stop)))
    keep = np.setdiff1d(np.arange(start.size), missing)
    # With `stop: next_start` the last one's end is unknown by nature.
    expected = args.stop == "next_start" and missing.tolist() == [start.size - 1] and bool(np.isfinite(start[-1]))
    if missing.size and not expected and args.incomplete != "drop":
        row = int(missing[0])
        raise columns.error(
            f"{missing.size} of {start.size} {kind}s have no start or no end",
            expected="both",
            found=f"the first in row {row + 1}: {start[row]} to {stop[row]}",
            hint=f"say incomplete: drop to leave such {kind}s out",
        )
    if not keep.size:
        raise columns.error(
            f"no {kind} has a start and an end", found=f"{start.size} rows without", hint="leave this source out"
        )
    if not missing.size:
        return keep, None
    rows = ", ".join(str(row + 1) for row in missing[:20])
    return keep, f"{missing.size} of {start.size} {kind}s without a start or an end were left out (rows {rows})"


def _read_ids(columns: TableColumns, name: str) -> npt.NDArray[np.int64]:
    numbers = columns.numbers(name, "number")
    if not np.isfinite(numbers).all() or (numbers != np.round(numbers)).any() or len(set(numbers)) != numbers.size:
        raise columns.error(
            f"the column {name} does not number the rows",
            expected="whole numbers, each once",
            found=str(numbers[:5]),
            hint="leave id_column or trial_column out: rows are numbered from 0",
        )
    return numbers.astype(np.int64)


def read_value_columns(
    columns: TableColumns,
    args: RowArguments,
    used: set[str | None],
    keep: npt.NDArray[np.intp],
    missing_value: float | None = None,
) -> list[Column]:
    """Read the further columns of a table of trials or events.

    Parameters
    ----------
    columns : TableColumns
    args : RowArguments
    used : set of str
        Columns that have another use.
    keep : ndarray of int
        Rows to take, in order.
    missing_value : float, optional
        What the file writes for a time that is missing.

    Returns
    -------
    list of Column

    Raises
    ------
    SourceError
        A column is missing, or not said to be of times or durations.
    """
    kinds: dict[str, Literal["time", "duration"]] = {
        **dict.fromkeys(args.time_columns or (), "time"),
        **dict.fromkeys(args.duration_columns or (), "duration"),
    }
    absent = [name for name in kinds if name not in columns.table.columns]
    if absent:
        raise columns.error(
            f"the table lacks the column {absent[0]!r}",
            found="the columns " + ", ".join(columns.table.columns),
            hint="correct time_columns or duration_columns",
        )
    names = args.value_columns
    names = [name for name in columns.table.columns if name not in used] if names is None else names
    result = []
    for spelling in dict.fromkeys([*names, *kinds]):
        name = columns.name(spelling, "value_columns")
        kind: Literal["value", "time", "duration"] = kinds.get(name, "value")
        values = columns.values(name)
        _check_declared(columns, name, values, kind, args.time_unit)
        if kind != "value":
            values = _to_seconds(columns, name, values, kind, args, missing_value)
        values = [values[i] for i in keep] if isinstance(values, list) else values[keep]
        new_name = (args.names or {}).get(name, name)
        text = (args.column_descriptions or {}).get(new_name, f"{name}, as in the file")
        result.append(Column(new_name, text, values, kind))
    return result


def _check_declared(columns: TableColumns, name: str, values: Any, kind: str, unit: str) -> None:
    """Refuse a column of numbers called ``…_time`` that is declared neither as times nor as durations."""
    numeric = isinstance(values, list) or values.dtype.kind in "fiu"
    numeric = numeric or (kind == "time" and unit == "iso")
    if kind == "value" and numeric and name.lower().endswith(("_time", "_times")):
        raise columns.error(
            f"the column {name} may hold times or durations",
            expected=f"{name} in time_columns (times move with the clock) or in duration_columns (durations don't)",
            found="in neither",
            hint="add it to one of them, or leave it out of value_columns",
        )
    if kind != "value" and not numeric:
        raise columns.error(
            f"the column {name} does not hold numbers",
            expected="times or durations",
            found=str(values[0]),
            hint="take it out of both lists",
        )


def _to_seconds(
    columns: TableColumns, name: str, values: Any, kind: str, args: RowArguments, missing_value: float | None
) -> Any:
    scale = PER_SECOND[args.time_unit]
    if isinstance(values, list):
        return [row / scale for row in values]
    numbers = columns.times(name, args.time_unit if kind == "time" else "s")
    return np.where(numbers == missing_value, np.nan, numbers) / scale


def group_into_blocks(intervals: IntervalTable, block_column: str) -> IntervalTable:
    """Make blocks of trials: one for each run of trials with one value of a column.

    Raises
    ------
    SourceError
        The column is missing, or its values are lists.
    """
    column = next((column for column in intervals.columns if column.name == block_column), None)
    if column is None or isinstance(column.values, list):
        raise SourceError(
            f"the trials lack the column {block_column!r}, which tells the blocks",
            where=intervals.where,
            expected="the name of a kept column with one value a trial",
            found=", ".join(column.name for column in intervals.columns),
            hint="name another one with block_column",
        )
    values = column.values
    first = np.flatnonzero(np.append(True, [str(a) != str(b) for a, b in zip(values[1:], values[:-1], strict=True)]))
    last = np.append(first[1:], len(values)) - 1
    ids = np.arange(len(values)) if intervals.ids is None else intervals.ids
    columns = [
        replace(column, values=values[first]),
        Column("first_trial", "id of the first trial of the block", ids[first]),
        Column("last_trial", "id of the last trial of the block", ids[last]),
        Column("num_trials", "number of trials in the block", last - first + 1),
    ]
    text = f"Blocks: runs of trials with one {block_column}"
    stop = np.maximum.accumulate(intervals.stop)
    return IntervalTable(intervals.where, intervals.start[first], stop[last], columns, description=text)
