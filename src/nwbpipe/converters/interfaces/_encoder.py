"""A wheel's rotary encoder, or any counter of position → a series of the unwrapped position."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import FilePath

from nwbpipe.converters.interfaces._columns import (
    TableColumns,
    TimeUnit,
    check_increasing,
    per_second,
    unwrap_counter,
)
from nwbpipe.converters.interfaces._declaration import interface
from nwbpipe.converters.interfaces._event_tables import read_npy, read_table
from nwbpipe.converters.interfaces._file_interface import FileInterface
from nwbpipe.nwb_builders import regular_times

_ABOVE_0 = ("counts_per_turn", "wheel_diameter_m", "sampling_frequency", "time_wrap", "position_wrap", "max_step")


@interface(extra="behavior")
class EncoderInterface(FileInterface):
    """Position of a wheel or of any encoder, with what its counters hide undone by named rules.

    Written as a ``TimeSeries`` in acquisition. Its data are the counts of the file, unwrapped; `conversion` makes
    radians of them (or metres of the rim, with `wheel_diameter_m`).

    Parameters
    ----------
    file_path : FilePath
        A table with a row a sample: CSV, TSV, blanks between columns (``delimiter: " "``), Parquet, ``.mat``, lines
        by `pattern`; or a ``.npy`` array of shape (n_samples,), or (n_samples, 2) with times and positions.
    counts_per_turn : float
        Counts of one turn; 360 for degrees, 6.283185307179586 for radians.
    time_column, position_column : str
        Columns of the times and positions, or several spellings (``time|timestamp``).
    sampling_frequency : float, optional
        In Hz, where the file has no times: the first sample is at 0.
    time_unit : {"s", "ms", "us", "iso"}
        Unit of the times in the file; ``iso``: dates and times with a time zone.
    time_zero : str, optional
        Date and time, with a time zone, that is 0 of the clock, where the times are dates.
    time_wrap : float, optional
        Value, in that unit, at which the clock's counter starts again at 0: 4294967296 for microseconds in 32 bits.
    position_wrap : float, optional
        Number of different values that the counter has: a step of more than half of it is one the other way.
    max_step : float, optional
        Largest step between samples that the wheel can have made, in counts. A larger one is a fault or a reset.
    on_reset : {"error", "join"}
        What to do with such steps. ``join``: the counter was set to another value; the position goes on from where
        it was, as if the wheel had not moved.
    skip_first : int
        Number of samples to leave out at the start: a sample of the session before, left in the device.
    bad_rows : {"error", "drop"}
        What to do with rows without a time or a position. How many were left out stands in the description.
    unsorted : {"error", "sort"}
        What to do with samples that are not in the order of time (some devices write two in the wrong order).
    repeats : {"error", "drop"}
        What to do with a sample that has the time of the one above: ``drop`` keeps the later one.
    direction : {1, -1}
        -1 where the counter falls as the wheel turns forward.
    wheel_diameter_m : float, optional
        Then the position is the way of the wheel's rim, in metres.
    delimiter, header, column_names, pattern, unmatched_lines, variable, encoding
        How to read the file: as in `BehaviorEventsInterface`.
    description : str, optional
        Of the series.
    metadata_key : str
        Name of the series.
    verbose : bool
        Not used.

    Raises
    ------
    SourceError
        The file can't be read, or its times or positions are not sound.
    """

    display_name = "Encoder"
    keywords = ("wheel", "encoder", "behavior")
    associated_suffixes = (".csv", ".ssv", ".tsv", ".txt", ".parquet", ".mat", ".npy")
    info = "Interface for rotary encoders and other counters of position."

    def __init__(
        self,
        file_path: FilePath,
        *,
        counts_per_turn: float,
        time_column: str = "time|timestamp|timestamps|t",
        position_column: str = "position|pos|angle|count|counts",
        sampling_frequency: float | None = None,
        time_unit: TimeUnit = "s",
        time_zero: str | None = None,
        time_wrap: float | None = None,
        position_wrap: float | None = None,
        max_step: float | None = None,
        on_reset: Literal["error", "join"] = "error",
        skip_first: int = 0,
        bad_rows: Literal["error", "drop"] = "error",
        unsorted: Literal["error", "sort"] = "error",
        repeats: Literal["error", "drop"] = "error",
        direction: Literal[1, -1] = 1,
        wheel_diameter_m: float | None = None,
        delimiter: str | None = None,
        header: bool = True,
        column_names: list[str] | None = None,
        pattern: str | None = None,
        unmatched_lines: Literal["error", "skip"] = "error",
        variable: str | None = None,
        encoding: str = "utf-8-sig",
        description: str | None = None,
        metadata_key: str = "Encoder",
        verbose: bool = False,
    ) -> None:
        super().__init__(locals())
        for name in _ABOVE_0:
            value = self.source_data[name]
            if value is not None and not value > 0:
                raise self._error(f"{name} must be above 0", found=str(value), hint="correct it")
        times, counts = self._read()
        if sampling_frequency is not None:
            times = np.arange(counts.size) / sampling_frequency
        times, counts = self._drop_bad_rows(times[skip_first:], counts[skip_first:])
        self.times, self.counts = times, direction * self._unwrap_positions(counts)

    def _read(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        timed = self.source_data["sampling_frequency"] is None
        scale = per_second(self.source_data["time_unit"], str(self._path))
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
            table, self._notes = read_table(self._path, self.source_data)
            columns = TableColumns(table, str(self._path), self.source_data["time_zero"])
            counts = columns.numbers(columns.name(self.source_data["position_column"], "position_column"), "position")
            times = np.zeros(counts.size)
            if timed:
                times = columns.times(
                    columns.name(self.source_data["time_column"], "time_column"), self.source_data["time_unit"]
                )
        return unwrap_counter(times, self.source_data["time_wrap"], rising=True) / scale, counts

    def _drop_bad_rows(
        self, times: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        bad = np.flatnonzero(~(np.isfinite(times) & np.isfinite(counts)))
        if bad.size and self.source_data["bad_rows"] != "drop":
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
        if self.source_data["unsorted"] == "sort" and (np.diff(times) < 0).any():
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
        again = np.flatnonzero(np.diff(times) == 0)
        if again.size and self.source_data["repeats"] != "drop":
            raise self._error(
                f"{again.size} of {times.size} samples have the time of the one above",
                expected="times that increase",
                found=f"the first in row {again[0] + 2}: {times[again[0]]:.6f} s",
                hint="say repeats: drop to keep the later of the two",
            )
        if again.size:
            self._notes.append(f"{again.size} samples with the time of the next one were left out")
        return np.delete(times, again), np.delete(counts, again)

    def _unwrap_positions(self, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        wrap, largest = self.source_data["position_wrap"], self.source_data["max_step"]
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
        if self.source_data["on_reset"] != "join":
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

        diameter = self.source_data["wheel_diameter_m"]
        factor = 2 * math.pi / self.source_data["counts_per_turn"] * (1.0 if diameter is None else diameter / 2)
        whole = bool((self.counts == np.round(self.counts)).all())
        data = self.counts.astype(np.int64) if whole else self.counts
        series = TimeSeries(
            name=self.metadata_key,
            description=self._describe("Position of the encoder, unwrapped; positive is forward"),
            data=data,
            unit="radians" if diameter is None else "meters",
            conversion=factor,
            **regular_times(self.times).arguments(),
        )
        nwbfile.add_acquisition(series)
