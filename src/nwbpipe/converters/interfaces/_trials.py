"""A list of trials → ``nwbfile.trials``, and the blocks that they are in → ``nwbfile.epochs``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import FilePath

from nwbpipe.converters.interfaces._columns import TimeUnit
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.converters.interfaces._interval_tables import IntervalTable, group_into_blocks, read_intervals

START = "start_time|trial_start|start_trial|trial_start_time|start|onset"
STOP = "stop_time|end_time|trial_stop|trial_end|stop_trial|end_trial|trial_stop_time|trial_end_time|stop|end|offset"


@interface(extra="behavior")
class TrialsInterface(FileInterface):
    """Trials from a CSV, TSV, Parquet or MATLAB file, or from lines of text, with whatever else each row says.

    Nothing is made up: a trial has a start and an end, in order, and overlaps no other, or it is refused with
    figures. A trial without one of them is left out where the spec says so, never written as 0 to 0.

    Parameters
    ----------
    file_path : FilePath
        The table, a row a trial. ``.parquet`` and ``.mat`` (version 5 to 7.3) are told by their ending.
    start_column, stop_column : str
        Columns of the start and the end, or several spellings: ``start_time|trial_start|…``.
    duration_column : str, optional
        Column of the trials' durations, in place of `stop_column`.
    stop : {"column", "next_start"}
        ``next_start``: the file has no ends, a trial lasts until the next one starts.
    last_stop : float, optional
        End of the last trial, in the file's unit, with ``stop: next_start``. Without it the last trial is left
        out, and the description says so.
    id_column : str, optional
        Column of whole numbers that become the rows' ids; 0, 1, … by default.
    value_columns : list of str, optional
        Further columns to keep. Default: all. Cells that are lists make a ragged column.
    time_columns, duration_columns : list of str, optional
        Which of them are times in the file's clock (``go_cue_time``: they move with the clock), and which are
        durations (``reaction_time``: they don't). A kept column of numbers called ``…_time`` or ``…_times`` must be
        in one of them. Both are in the file's unit, and in seconds in the session file.
    names : dict of str to str, optional
        Other names for columns: as in the file → as in the session file.
    column_descriptions : dict of str to str, optional
        What the columns mean, by the names in the session file.
    block_column : str, optional
        Column, by its name in the session file, that is constant within a block (a number, a probability): each run
        of one value becomes an epoch.
    time_unit : {"s", "ms", "us", "iso"}
        Unit of the times in the file; ``iso``: dates and times with a time zone.
    time_zero : str, optional
        Date and time, with a time zone, that is 0 of the clock, where the times are dates.
    missing_value : float, optional
        What the file writes for a time that is missing, e.g. 0 or -1. Empty cells and NaN are always missing.
    incomplete : {"error", "drop"}
        What to do with trials whose start or end is missing. How many were left out stands in the description.
    overlap : {"error", "allow"}
        What to do with trials that start before the one above has ended.
    unsorted : {"error", "sort"}
        What to do with trials that are not in the order of their starts.
    delimiter, header, column_names, pattern, unmatched_lines, times_file_path, variable, encoding
        How to read the file: as in `BehaviorEventsInterface`.
    description : str, optional
        Of the table.
    metadata_key : str
        Not used: the table is called ``trials``.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        The file can't be read, a column is missing or not clear, or the trials are not sound.
    """

    display_name = "Trials"
    keywords = ("trials", "behavior")
    associated_suffixes = (".csv", ".tsv", ".txt", ".parquet", ".mat")
    info = "Interface for lists of trials."

    def __init__(
        self,
        file_path: FilePath,
        *,
        start_column: str = START,
        stop_column: str = STOP,
        duration_column: str | None = None,
        stop: Literal["column", "next_start"] = "column",
        last_stop: float | None = None,
        id_column: str | None = None,
        value_columns: list[str] | None = None,
        time_columns: list[str] | None = None,
        duration_columns: list[str] | None = None,
        names: dict[str, str] | None = None,
        column_descriptions: dict[str, str] | None = None,
        block_column: str | None = None,
        time_unit: TimeUnit = "s",
        time_zero: str | None = None,
        missing_value: float | None = None,
        incomplete: Literal["error", "drop"] = "error",
        overlap: Literal["error", "allow"] = "error",
        unsorted: Literal["error", "sort"] = "error",
        delimiter: str | None = None,
        header: bool = True,
        column_names: list[str] | None = None,
        pattern: str | None = None,
        unmatched_lines: Literal["error", "skip"] = "error",
        times_file_path: FilePath | None = None,
        variable: str | None = None,
        encoding: str = "utf-8-sig",
        description: str | None = None,
        metadata_key: str = "Trials",
        verbose: bool = False,
    ) -> None:
        super().__init__(locals())
        self.intervals: IntervalTable = read_intervals(self._path, self.source_data, "trial")
        self.blocks = None if block_column is None else group_into_blocks(self.intervals, block_column)

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the trials, and the blocks if there are some.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        self.intervals.add(nwbfile, "trials", "Trials")
        if self.blocks is not None:
            self.blocks.add(nwbfile, "epochs", "Blocks of trials")


@interface(extra="behavior")
class BlocksInterface(FileInterface):
    """Blocks of a session → ``nwbfile.epochs``, by their times, or by the numbers of their trials.

    Parameters
    ----------
    file_path : FilePath
        The table, a row a block.
    start_column, stop_column : str
        Columns of the start and the end; or, with `trials_file_path`, of the first and the last trial.
    trials_file_path : FilePath, optional
        The table of trials that the blocks count in; their times make those of the blocks.
    trial_column : str, optional
        In it, the column of the trials' numbers. Without it trials count from `first_trial`.
    first_trial : int
        Number of the first trial, where no column gives it: 0 or 1.
    trial_start_column, trial_stop_column : str
        In it, the columns of the trials' start and end.
    trial_missing_value : float, optional
        In it, what is written for a time that is missing; trials without times don't bound a block.
    duration_column, stop, last_stop, id_column, value_columns, time_columns, duration_columns, names
        As in `TrialsInterface`.
    column_descriptions, time_unit, time_zero, missing_value, incomplete, overlap, unsorted, description
        As in `TrialsInterface`.
    delimiter, header, column_names, pattern, unmatched_lines, times_file_path, variable, encoding
        How to read the file: as in `BehaviorEventsInterface`.

    Raises
    ------
    SourceError
        The file can't be read, a column is missing or not clear, the blocks are not sound, or name no trial.
    """

    display_name = "Blocks"
    keywords = ("blocks", "epochs", "behavior")
    associated_suffixes = (".csv", ".tsv", ".txt", ".parquet", ".mat")
    info = "Interface for lists of blocks."

    def __init__(
        self,
        file_path: FilePath,
        *,
        start_column: str = "start_time|block_start|start|first_trial|start_trial|firstTrial",
        stop_column: str = "stop_time|end_time|block_stop|block_end|stop|end|last_trial|end_trial|lastTrial",
        trials_file_path: FilePath | None = None,
        trial_column: str | None = None,
        first_trial: int = 1,
        trial_start_column: str = START,
        trial_stop_column: str = STOP,
        trial_missing_value: float | None = None,
        duration_column: str | None = None,
        stop: Literal["column", "next_start"] = "column",
        last_stop: float | None = None,
        id_column: str | None = None,
        value_columns: list[str] | None = None,
        time_columns: list[str] | None = None,
        duration_columns: list[str] | None = None,
        names: dict[str, str] | None = None,
        column_descriptions: dict[str, str] | None = None,
        time_unit: TimeUnit = "s",
        time_zero: str | None = None,
        missing_value: float | None = None,
        incomplete: Literal["error", "drop"] = "error",
        overlap: Literal["error", "allow"] = "error",
        unsorted: Literal["error", "sort"] = "error",
        delimiter: str | None = None,
        header: bool = True,
        column_names: list[str] | None = None,
        pattern: str | None = None,
        unmatched_lines: Literal["error", "skip"] = "error",
        times_file_path: FilePath | None = None,
        variable: str | None = None,
        encoding: str = "utf-8-sig",
        description: str | None = None,
        metadata_key: str = "Blocks",
        verbose: bool = False,
    ) -> None:
        super().__init__(locals())
        self.intervals: IntervalTable = read_intervals(self._path, self.source_data, "block")

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the blocks.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        self.intervals.add(nwbfile, "epochs", "Blocks")
