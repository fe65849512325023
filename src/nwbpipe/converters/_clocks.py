"""Clocks: reading the times that a spec names, and carrying a source from its clock to the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters import _alignment as alignment
from nwbpipe.converters._alignment import Added, TimeMap, Times
from nwbpipe.converters._spec import AlignStart, AlignTimestamps, SessionSpec
from nwbpipe.errors import ClockError, NwbpipeError

_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6}


def read_times(clock: AlignTimestamps, name: str) -> Times:
    """Read the times of a clock's file.

    Parameters
    ----------
    clock : AlignTimestamps
        The clock.
    name : str
        Its name, for messages.

    Returns
    -------
    array of float64
        Seconds on the reference clock, finite and strictly increasing.

    Raises
    ------
    ClockError
        If the file can't be read, the column is not there or not clear, or the times don't increase.
    """
    where = f"{clock.file} (clocks.{name})"
    try:
        values = _read_npy(clock, where) if clock.file.suffix == ".npy" else _read_table(clock, where)
        # Divided, not multiplied by 0.001: 1005 ms is 1.005 s to the last bit.
        times = np.asarray(values, dtype=np.float64) / _UNITS[clock.unit] + clock.offset_s
    except NwbpipeError:
        raise
    except Exception as error:
        raise ClockError(
            "the file of times can't be read",
            where=where,
            expected="a .npy array, or a table of numbers (.csv, .tsv, .txt)",
            found=f"{type(error).__name__}: {error}",
        ) from error
    _check_times(times, where)
    return times


def _read_npy(clock: AlignTimestamps, where: str) -> Any:
    values = np.load(clock.file, allow_pickle=False)
    if values.ndim == 1 and clock.column is None:
        return values
    if values.ndim == 2 and isinstance(clock.column, int) and 0 <= clock.column < values.shape[1]:
        return values[:, clock.column]
    if values.ndim == 2 and 1 in values.shape and clock.column is None:
        return values.ravel()
    raise ClockError(
        "the array of times has the wrong shape, or its column is not clear",
        where=where,
        expected="one dimension, or two and `column: INDEX`",
        found=f"shape {values.shape}, column {clock.column}",
    )


def _read_table(clock: AlignTimestamps, where: str) -> Any:
    import pandas

    with clock.file.open(encoding="utf-8-sig") as file:
        first_line = next((line for line in file if line.strip()), "")
    separator = next((mark for mark in "\t,;" if mark in first_line), r"\s+")
    table = pandas.read_csv(clock.file, sep=separator, skipinitialspace=True, header=None, dtype=str)
    first = [str(value).strip() for value in table.iloc[0]]
    column = _column(clock, first, where)
    # A first row that is no number names the columns.
    headed = isinstance(clock.column, str) or pandas.isna(pandas.to_numeric(first[column], errors="coerce"))
    texts = table.iloc[1:, column] if headed else table.iloc[:, column]
    numbers = pandas.to_numeric(texts, errors="coerce")
    bad = np.flatnonzero(numbers.isna())
    if len(bad):
        raise ClockError(
            "the file of times holds something that is no number",
            where=where,
            expected="a number in each row",
            found=f"{len(bad)} of {len(numbers)} rows; the first: {texts.iloc[bad[0]]!r} in row {bad[0] + 1}",
        )
    return np.asarray(texts.astype(float), dtype=np.float64)


def _column(clock: AlignTimestamps, first: list[str], where: str) -> int:
    """Choose the column of the times by its name, its index, or because it is the only one."""
    if clock.column is None and len(first) == 1:
        return 0
    if isinstance(clock.column, int) and 0 <= clock.column < len(first):
        return clock.column
    if isinstance(clock.column, str) and first.count(clock.column) == 1:
        return first.index(clock.column)
    raise ClockError(
        "the column of the times is not clear" if clock.column is None else "the column of the times is not there",
        where=where,
        expected="`column: NAME` or `column: INDEX` (0 is the first)",
        found=f"{len(first)} columns; the first row is {', '.join(first[:20])}",
    )


def _check_times(times: Times, where: str) -> None:
    if not len(times):
        raise ClockError("the file of times is empty", where=where)
    broken = np.flatnonzero(~np.isfinite(times))
    if len(broken):
        raise ClockError(
            "a time is not finite",
            where=where,
            found=f"{len(broken)} of {len(times)}, the first in row {broken[0] + 1}",
        )
    steps = np.diff(times)
    back = np.flatnonzero(steps <= 0)
    if len(back):
        row = back[0]
        raise ClockError(
            "the times do not increase strictly",
            where=where,
            expected="each time later than the one before",
            found=f"{len(back)} steps of zero or less among {len(steps)}; the first: {times[row]:.6f} s, then "
            f"{times[row + 1]:.6f} s (rows {row + 1} and {row + 2})",
            hint="check the column and the unit, and whether the file holds several recordings",
        )


@dataclass
class _State:
    """What is known of a clock while the file is built."""

    times: Times | None = None
    samples: tuple[int, str] | None = None
    pairs: list[tuple[Times, Times]] = field(default_factory=list)


class Clocks:
    """Carries the sources of one session to the reference clock.

    Parameters
    ----------
    spec : SessionSpec
        The session. Files of times are read at once, so that a bad one is found before the raw data are.
    """

    def __init__(self, spec: SessionSpec) -> None:
        self.spec = spec
        self._states: dict[str, _State] = {}
        for name, clock in spec.clocks.items():
            times = read_times(clock, name) if isinstance(clock, AlignTimestamps) else None
            self._states[name] = _State(times)

    def times_of(self, source: str) -> Times | None:
        """Times that a file gives for the samples of a source (seconds), or None."""
        state = self._states.get(self.spec.clock_of(source))
        return None if state is None else state.times

    def apply(self, source: str, added: Added, frames: Times | None = None, stub: bool = False) -> list[str]:
        """Move all that a source has added to the file to the reference clock.

        Parameters
        ----------
        source : str
            Name of the source.
        added : Added
            What it wrote.
        frames : array of int, optional
            The frame of the video (or movie) that each sample belongs to, where the source says it.
        stub : bool
            Whether only the first samples were read.

        Returns
        -------
        list of str
            Remarks.

        Raises
        ------
        ClockError
            If the times don't fit the samples.
        """
        name = self.spec.clock_of(source)
        clock = self.spec.clocks.get(name)
        if isinstance(clock, AlignTimestamps):
            return self._apply_times(source, name, clock, added, frames, stub)
        if isinstance(clock, AlignStart):
            return alignment.shift(added, clock.offset_s) if clock.offset_s else []
        if name != self.spec.reference_clock:
            raise ClockError(
                f"nothing aligns the clock {name!r} with the reference",
                where=f"sources.{source}",
                hint=f"add `{name}: {{align: start, offset_s: ...}}` to clocks",
            )
        return []

    def _apply_times(
        self,
        source: str,
        name: str,
        clock: AlignTimestamps,
        added: Added,
        frames: Times | None,
        stub: bool,
    ) -> list[str]:
        state = self._states[name]
        times = state.times
        assert times is not None

        def of_series(series: Any, count: int) -> Times:
            where = f"sources.{source}: {series.name}"
            if frames is None and not stub:
                _check_same_samples(state, name, count, where)
            return _fit(times, count, where, clock, frames, stub)

        state.pairs += alignment.set_times(added, of_series)
        tables = [item for item in added.tables() if alignment.has_times(Added(objects=[item[0]]))]
        if not tables:
            return []
        if state.pairs:
            mapping = _interpolation(*max(state.pairs, key=lambda pair: len(pair[0])), source=source)
            return alignment.map_tables(added, mapping)
        for table, first in tables:
            if first:
                raise ClockError(
                    f"the times of {source} can't be told apart from those of another source",
                    where=f"sources.{source}: {table.name}",
                    hint="give the tables different names",
                )
            alignment.set_rows(table, _fit(times, len(table), f"sources.{source}: {table.name}", clock, None, stub))
        return []


def _check_same_samples(state: _State, clock: str, count: int, where: str) -> None:
    """Refuse streams of different lengths on one file of times: `trim` would hide that one is cut off."""
    if state.samples is None:
        state.samples = (count, where)
    elif state.samples[0] != count:
        raise ClockError(
            f"two streams whose times the clock {clock!r} gives have different numbers of samples",
            where=where,
            expected=f"{state.samples[0]} samples, as {state.samples[1]}",
            found=f"{count} samples",
            hint="check that both are whole; where both are right, give each a clock with a file of times of its own",
        )


def _fit(times: Times, count: int, where: str, clock: AlignTimestamps, frames: Times | None, stub: bool) -> Times:
    """Choose the times of `count` samples; refuse what does not fit."""
    if frames is not None and len(frames) == count and len(times) > int(frames.max(initial=-1)):
        return np.asarray(times[frames.astype(int)], dtype=np.float64)
    if len(times) == count or (stub and len(times) > count):
        return times[:count]
    if clock.trim and len(times) > count:
        return times[:count]
    raise ClockError(
        "the number of times does not match the number of samples",
        where=where,
        expected=f"{count} times, one for each sample",
        found=f"{len(times)} times in {clock.file}, {abs(len(times) - count)} too "
        + ("many" if len(times) > count else "few"),
        hint="`trim: true` leaves out surplus times at the end of the file, if that is where they are"
        if len(times) > count
        else "check that the file of times belongs to this recording",
    )


def _interpolation(before: Times, after: Times, source: str) -> TimeMap:
    """Make the function that carries times between two clocks, sample by sample."""
    if len(before) < 2:
        raise ClockError("one sample can't align a clock", where=f"sources.{source}", expected="two samples or more")
    step = float(np.median(np.diff(before)))
    # One sample more on either side: an event may fall between the last sample's time and its end.
    slope = (after[-1] - after[0]) / (before[-1] - before[0])
    old = np.concatenate([[before[0] - step], before, [before[-1] + step]])
    new = np.concatenate([[after[0] - step * slope], after, [after[-1] + step * slope]])

    def mapping(values: Times) -> Times:
        finite = values[np.isfinite(values)]
        outside = np.count_nonzero((finite < before[0] - step) | (finite > before[-1] + step))
        if outside:
            raise ClockError(
                f"times of {source} lie outside the recording whose samples align its clock",
                where=f"sources.{source}",
                expected=f"times from {before[0]:.3f} s to {before[-1]:.3f} s on the clock of the source",
                found=f"{outside} of {len(finite)} outside, from {finite.min():.3f} s to {finite.max():.3f} s",
            )
        return np.asarray(np.interp(values, old, new), dtype=np.float64)

    return mapping


def file_paths(spec: SessionSpec) -> list[Path]:
    """Files of times that a spec names."""
    return [clock.file for clock in spec.clocks.values() if isinstance(clock, AlignTimestamps)]
