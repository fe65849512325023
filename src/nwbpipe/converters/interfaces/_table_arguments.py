"""The arguments that readers of tables share, each told once; a reader adds its own in its file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FilePath

TimeUnit = Literal["s", "ms", "us", "iso"]
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "iso": 1.0}

_START = "start_time|trial_start|start_trial|trial_start_time|start|onset"
_STOP = "stop_time|end_time|trial_stop|trial_end|stop_trial|end_trial|trial_stop_time|trial_end_time|stop|end|offset"


class FileArguments(BaseModel):
    """Arguments of an interface that reads one file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    file_path: FilePath
    """The file."""
    description: str | None = None
    """Description of what is written."""
    metadata_key: str
    """Name of what is written."""
    verbose: bool = False
    """Not used."""


class TableArguments(FileArguments):
    """Arguments that say how a table is read: CSV, TSV, Parquet or ``.mat``."""

    delimiter: str | None = None
    """Text between columns; default a tab in ``.tsv``, else a comma."""
    header: bool = True
    """The first line names the columns. Columns without names are called "0", "1", …"""
    skip_rows: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Number of lines above the header (or above the first row, without one)."""
    header_rows: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of lines that name the columns together. A column is called by the last of them, or, where those are not
    unique, by all of them, joined by ``_``."""
    decimal: Literal[".", ","] = "."
    """Mark between a number and its decimals."""
    keep_rows: dict[str, str | list[str]] | None = None
    """Column → the value or values of the rows to read: one session of a table of many. All columns must match."""
    column_names: list[str] | None = None
    """Names of all columns, in place of the file's."""
    variable: str | None = None
    """Of a ``.mat`` file: dotted path of the struct that holds the columns."""
    encoding: str = "utf-8-sig"
    """Encoding of text, such as ``cp1252`` or ``utf-16``."""


class LineArguments(TableArguments):
    """Arguments of a table that may also be lines of text."""

    pattern: str | None = None
    """Regular expression that each line matches as a whole; its named groups are the columns."""
    unmatched_lines: Literal["error", "skip"] = "error"
    """What to do with lines that don't match `pattern`. The description says how many were skipped."""
    time_unit: TimeUnit = "s"
    """Unit of the times and durations in the file. ``iso``: times are dates and times with a time zone, which become
    seconds since `time_zero`; durations are in seconds."""
    time_zero: str | None = None
    """Date and time, with a time zone, that is 0 of the clock, where the times are dates."""


class RowArguments(LineArguments):
    """Arguments of a table with a row an event, trial or block."""

    times_file_path: FilePath | None = None
    """A file with one time for each line of the table, in place of its column of times."""
    value_columns: list[str] | None = None
    """Further columns to keep. Default: all. Cells that are lists make a ragged column."""
    time_columns: list[str] | None = None
    """Further columns of times in the file's clock and unit (``go_cue_time``). They move with the clock, and become
    seconds. A kept column of numbers called ``…_time`` or ``…_times`` must be here or in `duration_columns`."""
    duration_columns: list[str] | None = None
    """Further columns of durations in the file's unit (``reaction_time``). They become seconds, and don't move with
    the clock."""
    names: dict[str, str] | None = None
    """Other names for columns: as in the file → as in the session file."""
    column_descriptions: dict[str, str] | None = None
    """What the columns mean, by the names in the session file."""
    unsorted: Literal["error", "sort"] = "error"
    """What to do with rows that are not in the order of time."""


class IntervalArguments(RowArguments):
    """Arguments of a table of trials or blocks."""

    start_column: str
    """Column of the start, or several spellings: ``start_time|trial_start|…``."""
    stop_column: str
    """Column of the end, or several spellings."""
    duration_column: str | None = None
    """Column of the durations, in place of `stop_column`."""
    stop: Literal["column", "next_start"] = "column"
    """``next_start``: the file has no ends, each row lasts until the next one starts."""
    last_stop: float | None = None
    """End of the last row, in the file's unit, with ``stop: next_start``. Without it the last row is left out, and
    the description says so."""
    id_column: str | None = None
    """Column of whole numbers that become the rows' ids; 0, 1, … by default."""
    missing_value: float | None = None
    """What the file writes for a time that is missing, e.g. 0 or -1. Empty cells and NaN are always missing."""
    incomplete: Literal["error", "drop"] = "error"
    """What to do with rows whose start or end is missing. The description says how many were left out."""
    overlap: Literal["error", "allow"] = "error"
    """What to do with rows that start before the one above has ended."""


class TrialArguments(IntervalArguments):
    """Arguments of `TrialsInterface`."""

    start_column: str = _START
    """Column of the start, or several spellings."""
    stop_column: str = _STOP
    """Column of the end, or several spellings."""
    block_column: str | None = None
    """Column, by its name in the session file, that is constant within a block (a number, a probability): each run of
    one value becomes an epoch."""
    metadata_key: str = "Trials"
    """Not used: the table is called ``trials``."""


class BlockArguments(IntervalArguments):
    """Arguments of `BlocksInterface`."""

    start_column: str = "start_time|block_start|start|first_trial|start_trial|firstTrial"
    """Column of the start, or several spellings; of the first trial, with `trials_file_path`."""
    stop_column: str = "stop_time|end_time|block_stop|block_end|stop|end|last_trial|end_trial|lastTrial"
    """Column of the end, or several spellings; of the last trial, with `trials_file_path`."""
    trials_file_path: FilePath | None = None
    """Table of the trials that the blocks count in; their times make those of the blocks."""
    trial_column: str | None = None
    """In it, the column of the trials' numbers. Without it trials count from `first_trial`."""
    first_trial: int = 1
    """Number of the first trial, where no column gives it: 0 or 1."""
    trial_start_column: str = _START
    """In it, the column of the trials' start."""
    trial_stop_column: str = _STOP
    """In it, the column of the trials' end."""
    trial_missing_value: float | None = None
    """In it, what is written for a time that is missing. Trials without times don't bound a block."""
    metadata_key: str = "Blocks"
    """Not used: the table is called ``epochs``."""
