"""A list of trials → ``nwbfile.trials``, and the blocks that they are in → ``nwbfile.epochs``."""

from __future__ import annotations

from typing import Any

from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.converters.interfaces._interval_tables import IntervalTable, group_into_blocks, read_intervals
from nwbpipe.converters.interfaces._table_arguments import BlockArguments, TrialArguments


@interface(extra="behavior")
class TrialsInterface(FileInterface[TrialArguments]):
    """Trials from a CSV, TSV, Parquet or MATLAB file, or from lines of text, with whatever else each row says.

    Nothing is made up: a trial has a start and an end, in order, and overlaps no other, or it is refused with
    figures. A trial without one of them is left out where the spec says so, never written as 0 to 0.

    Raises
    ------
    SourceError
        The file can't be read, a column is missing or not clear, or the trials are not sound.
    """

    display_name = "Trials"
    keywords = ("trials", "behavior")
    associated_suffixes = (".csv", ".tsv", ".txt", ".parquet", ".mat")
    info = "Interface for lists of trials."

    def _read(self) -> None:
        block_column = self.args.block_column
        self.intervals: IntervalTable = read_intervals(self.args, "trial")
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
class BlocksInterface(FileInterface[BlockArguments]):
    """Blocks of a session → ``nwbfile.epochs``, by their times, or by the numbers of their trials.

    Raises
    ------
    SourceError
        The file can't be read, a column is missing or not clear, the blocks are not sound, or they name a trial that
        the table of trials lacks.
    """

    display_name = "Blocks"
    keywords = ("blocks", "epochs", "behavior")
    associated_suffixes = (".csv", ".tsv", ".txt", ".parquet", ".mat")
    info = "Interface for lists of blocks."

    def _read(self) -> None:
        self.intervals: IntervalTable = read_intervals(self.args, "block")

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the blocks.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        self.intervals.add(nwbfile, "epochs", "Blocks")
