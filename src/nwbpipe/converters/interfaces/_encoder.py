"""A wheel's rotary encoder, or any counter of position → a series of the unwrapped position."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nwbpipe.converters._counters import unwrap_counter
from nwbpipe.converters.interfaces._columns import TableColumns, check_increasing
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._event_tables import read_npy, read_table
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.converters.interfaces._table_arguments import PER_SECOND, LineArguments
from nwbpipe.nwb_builders import regular_times


class EncoderArguments(LineArguments):
    """Arguments of `EncoderInterface`."""

    counts_per_turn: float = Field(gt=0)
    """Counts of one turn; 360 for degrees, 6.283185307179586 for radians."""
    time_column: str = "time|timestamp|timestamps|t"
    """Column of the times, or several spellings."""
    position_column: str = "position|pos|angle|count|counts"
    """Column of the positions, or several spellings."""
    sampling_frequency: float | None = Field(None, gt=0)
    """In Hz, where the file has no times: the first sample is at 0."""
    time_wrap: float | None = Field(None, gt=0)
    """Value, in the unit of the times, at which the clock's counter starts again at 0: 4294967296 for microseconds in
    32 bits."""
    position_wrap: float | None = Field(None, gt=0)
    """Number of different values that the counter has: a step of more than half of it is one the other way."""
    max_step: float | None = Field(None, gt=0)
    """Largest step between samples that the wheel can have made, in counts. A larger one is a fault or a reset."""
    on_reset: Literal["error", "join"] = "error"
    """What to do with such steps. ``join``: the counter was set to another value; the position goes on from where it
    was, as if the wheel had not moved."""
    skip_first: int = 0
    """Number of samples to leave out at the start: a sample of the session before, left in the device."""
    bad_rows: Literal["error", "drop"] = "error"
    """What to do with rows without a time or a position. The description says how many were left out."""
    unsorted: Literal["error", "sort"] = "error"
    """What to do with samples that are not in the order of time: some devices write two in the wrong order."""
    repeats: Literal["error", "drop"] = "error"
    """What to do with a sample that has the time of the one above: ``drop`` keeps the later one."""
    direction: Literal[1, -1] = 1
    """-1 where the counter falls as the wheel turns forward."""
    wheel_diameter_m: float | None = Field(None, gt=0)
    """Then the position is the way of the wheel's rim, in metres."""
    metadata_key: str = "Encoder"
    """Name of the series."""


@interface(extra="behavior")
class EncoderInterface(FileInterface[EncoderArguments]):
    """Position of a wheel or of any encoder, with what its counters hide undone by named rules.

    Written as a ``TimeSeries`` in acquisition. Its data are the counts of the file, unwrapped; `conversion` makes
    radians of them (or metres of the rim, with `wheel_diameter_m`).

    The file is a table with a row a sample: CSV, TSV, blanks between columns (``delimiter: " "``), Parquet, ``.mat``,
    lines by `pattern`; or a ``.npy`` array of shape (n_samples,), or (n_samples, 2) with times and positions.

    Raises
    ------
    SourceError
        The file can't be read, or its times or positions are not sound.
    """

    display_name = "Encoder"
    keywords = ("wheel", "encoder", "behavior")
    associated_suffixes = (".csv", ".ssv", ".tsv", ".txt", ".parquet", ".mat", ".npy")
    info = "Interface for rotary encoders and other counters of position."

    def _read(self) -> None:
        args = self.args
        times, counts = self._read_samples()
        if args.sampling_frequency is not None:
            times = np.arange(counts.size) / args.sampling_frequency
        times, counts = self._drop_bad_rows(times[args.skip_first :], counts[args.skip_first :])
        self.times, self.counts = times, args.direction * self._unwrap_positions(counts)

    def _read_samples(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        timed = self.args.sampling_frequency is None
        scale = PER_SECOND[self.args.time_unit]
        if self._path.suffix.lower() == ".npy":
            values = read_npy(self._path).astype(np.float64)
            if values.shape[1:] != ((2,) if timed else ()):
                raise self._error(
                    "the array has the wrong shape",
                    expected="(samples, 2): times and positions" if timed else "(samples,)",
                    found=str(values.shape),
                    hint="give sampling_frequency where the array has no times",
                )
            times, counts = (values[:, 0], values[:, 1]) if timed else (np.zeros(len(values)), values)
        else:
            table, self._notes = read_table(self.args)
            columns = TableColumns(table, str(self._path), self.args.time_zero)
            counts = columns.numbers(columns.name(self.args.position_column, "position_column"), "position")
            times = np.zeros(counts.size)
            if timed:
                times = columns.times(columns.name(self.args.time_column, "time_column"), self.args.time_unit)
        return unwrap_counter(times, self.args.time_wrap, rising=True) / scale, counts

    def _drop_bad_rows(
        self, times: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        bad = np.flatnonzero(~(np.isfinite(times) & np.isfinite(counts)))
        if bad.size and self.args.bad_rows != "drop":
            raise self._error(
                f"{bad.size} of {times.size} rows have no time or no position",
                expected="both in each row",
                found=f"the first in row {bad[0] + 1 + self.source_data['skip_first']}",
                hint="say bad_rows: drop to leave them out",
            )
        if bad.size:
            self._notes.append(f"{bad.size} rows without a time or a position were left out")
            times, counts = np.delete(times, bad), np.delete(counts, bad)
        if times.size < 2:
            raise self._error(
                "the file holds fewer than two samples", found=str(times.size), hint="leave this source out"
            )
        if self.args.unsorted == "sort" and (np.diff(times) < 0).any():
            self._notes.append(f"{np.count_nonzero(np.diff(times) < 0)} samples were out of order and were sorted")
            order = np.argsort(times, kind="stable")
            times, counts = times[order], counts[order]
        check_increasing(
            times,
            str(self._path),
            "samples",
            hint="say time_wrap if the clock's counter overflows, skip_first if the first samples are left over, "
            "unsorted: sort if they are merely written out of order",
        )
        repeats = np.flatnonzero(np.diff(times) == 0)
        if repeats.size and self.args.repeats != "drop":
            raise self._error(
                f"{repeats.size} of {times.size} samples have the time of the one above",
                expected="times that increase",
                found=f"the first in row {repeats[0] + 2}: {times[repeats[0]]:.6f} s",
                hint="say repeats: drop to keep the later of the two",
            )
        if repeats.size:
            self._notes.append(f"{repeats.size} samples with the time of the next one were left out")
        return np.delete(times, repeats), np.delete(counts, repeats)

    def _unwrap_positions(self, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        wrap, largest = self.args.position_wrap, self.args.max_step
        if wrap is not None and np.ptp(counts) > wrap:
            raise self._error(
                "the positions don't fit the counter",
                expected=f"{wrap:g} different values",
                found=f"from {counts.min():g} to {counts.max():g}",
                hint="correct position_wrap",
            )
        unwrapped = unwrap_counter(counts, wrap, rising=False)
        turns = 0 if wrap is None else int(np.count_nonzero(np.diff(np.round((unwrapped - counts) / wrap))))
        if turns:
            self._notes.append(f"{turns} overflows of the counter of {wrap:g} values were undone")
        steps = np.diff(unwrapped)
        jumps = np.flatnonzero(np.abs(steps) > largest) if largest is not None else np.zeros(0, np.intp)
        if not jumps.size:
            return unwrapped
        if self.args.on_reset != "join":
            row = int(jumps[0])
            raise self._error(
                f"{jumps.size} steps are larger than the wheel can make",
                expected=f"at most {largest:g} counts",
                found=f"the first, in row {row + 2}: from {unwrapped[row]:g} to {unwrapped[row + 1]:g}",
                hint="say on_reset: join if the counter was reset, or position_wrap if it overflows",
            )
        self._notes.append(f"{jumps.size} resets of the counter were joined")
        steps[jumps] = 0
        return np.concatenate([unwrapped[:1], unwrapped[0] + np.cumsum(steps)])

    def add_to_nwbfile(self, nwbfile: Any, metadata: dict[str, Any] | None = None) -> None:
        """Write the position.

        Parameters
        ----------
        nwbfile : pynwb.NWBFile
        metadata : dict, optional
            Not used: the file holds no metadata of its own.
        """
        from pynwb import TimeSeries

        diameter = self.args.wheel_diameter_m
        factor = 2 * math.pi / self.args.counts_per_turn * (1.0 if diameter is None else diameter / 2)
        integer = bool((self.counts == np.round(self.counts)).all())
        data = self.counts.astype(np.int64) if integer else self.counts
        series = TimeSeries(
            name=self.metadata_key,
            description=self._describe("Position of the encoder, unwrapped; positive is forward"),
            data=data,
            unit="radians" if diameter is None else "meters",
            conversion=factor,
            **regular_times(self.times).arguments(),
        )
        nwbfile.add_acquisition(series)
