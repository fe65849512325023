"""Read times from files; times that go back, repeat or jump are refused, or repaired by a named rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters._added import Times
from nwbpipe.converters._counters import unwrap_counter
from nwbpipe.converters.spec._clock_spec import TimesSpec, TrainSpec
from nwbpipe.errors import ClockError, NwbpipeError

_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6}
# A step this many times the usual one, and longer than a second, is a jump.
_JUMP = 1000.0
_MAX_REPAIRED = 0.01  # of the times


def read_times(clock: TimesSpec, name: str) -> tuple[Times, str]:
    """Read the times of a clock's file.

    Parameters
    ----------
    clock : TimesSpec
        The spec's section on the file.
    name : str
        The clock's name, for messages.

    Returns
    -------
    array of float64
        Seconds, finite and strictly increasing.
    str
        The repairs; empty if there were none.

    Raises
    ------
    ClockError
        If the file can't be read, the column is missing or not clear, or the times don't increase or jump and no
        rule repairs them.
    """
    location = f"{clock.file} (clocks.{name})"
    times = read_column(clock.file, clock, location) + clock.offset_s
    if not len(times):
        raise ClockError("the file of times is empty", where=location)
    times, note = _repair_times(times, clock)
    _check_times(times, location)
    _check_jumps(times, clock.max_gap_s, location)
    return times, note


def read_column(file: Path, clock: TimesSpec | TrainSpec, where: str) -> Times:
    """Read one column of numbers of a file, as seconds."""
    try:
        values = _read_npy(file, clock, where) if file.suffix == ".npy" else _read_table(file, clock, where)
        # Divided, not multiplied by 0.001: 1005 ms is 1.005 s to the last bit.
        return np.asarray(np.asarray(values, dtype=np.float64) / _UNITS[clock.unit])
    except NwbpipeError:
        raise
    except Exception as error:
        raise ClockError(
            "the file of times can't be read",
            where=where,
            expected="a .npy array, or a table of numbers (.csv, .tsv, .txt)",
            found=f"{type(error).__name__}: {error}",
        ) from error


def _read_npy(file: Path, clock: TimesSpec | TrainSpec, where: str) -> Any:
    values = np.load(file, allow_pickle=False)
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


def _read_table(file: Path, clock: TimesSpec | TrainSpec, where: str) -> Any:
    import pandas

    with file.open(encoding="utf-8-sig") as lines:
        first_line = next((line for line in lines if line.strip()), "")
    separator = next((mark for mark in "\t,;" if mark in first_line), r"\s+")
    table = pandas.read_csv(file, sep=separator, skipinitialspace=True, header=None, dtype=str)
    first = [str(value).strip() for value in table.iloc[0]]
    column = _choose_column(clock, first, where)
    # A first row without a number names the columns.
    headed = isinstance(clock.column, str) or pandas.isna(pandas.to_numeric(first[column], errors="coerce"))
    texts = table.iloc[1:, column] if headed else table.iloc[:, column]
    numbers = pandas.to_numeric(texts, errors="coerce")
    bad = np.flatnonzero(numbers.isna())
    if len(bad):
        raise ClockError(
            "the file of times holds values that are not numbers",
            where=where,
            expected="a number in each row",
            found=f"{len(bad)} of {len(numbers)} rows; the first: {texts.iloc[bad[0]]!r} in row {bad[0] + 1}",
        )
    return np.asarray(texts.astype(float), dtype=np.float64)


def _choose_column(clock: TimesSpec | TrainSpec, first: list[str], where: str) -> int:
    """Choose the column of the times by its name, its index, or because it is the only one."""
    if clock.column is None and len(first) == 1:
        return 0
    if isinstance(clock.column, int) and 0 <= clock.column < len(first):
        return clock.column
    if isinstance(clock.column, str) and first.count(clock.column) == 1:
        return first.index(clock.column)
    raise ClockError(
        "the column of the times is not clear" if clock.column is None else "the file lacks the column of the times",
        where=where,
        expected="`column: NAME` or `column: INDEX` (0 is the first)",
        found=f"{len(first)} columns; the first row is {', '.join(first[:20])}",
    )


def _repair_times(times: Times, clock: TimesSpec) -> tuple[Times, str]:
    if clock.repair == "unwrap" and clock.wrap_s is not None:
        return unwrap(times, clock.wrap_s)
    if clock.repair == "interpolate":
        return _interpolate_outliers(times)
    return times, ""


def unwrap(times: Times, wrap_s: float) -> tuple[Times, str]:
    """Undo a counter that starts again at 0 after `wrap_s` seconds."""
    unwrapped = unwrap_counter(times, wrap_s, rising=True)
    finite = np.isfinite(times)
    turns = round(np.max(unwrapped[finite] - times[finite], initial=0.0) / wrap_s)
    return unwrapped, f"unwrap: {turns} turns of {wrap_s:g} s" if turns else ""


def _interpolate_outliers(times: Times) -> tuple[Times, str]:
    """Interpolate single times that lie off their neighbours, at most 1 % of all and two in a row."""
    finite = np.isfinite(times)
    step = float(np.median(np.abs(np.diff(times[finite])))) if np.count_nonzero(finite) > 2 else 0.0
    padded = np.pad(np.where(finite, times, np.nan), 2, constant_values=np.nan)
    around = np.stack([padded[shift : shift + len(times)] for shift in range(5)])
    slope = np.arange(-2, 3)[:, None] * step
    with np.errstate(invalid="ignore"):
        deviation = np.abs(times - np.nanmedian(around - slope, axis=0))
    bad = ~finite | (deviation > 2 * step)
    bad[1:] |= np.diff(times) == 0
    for row in np.flatnonzero(np.diff(times) < 0):  # of two in the wrong order, the one that lies farther off
        if not bad[row : row + 2].any():
            bad[row if deviation[row] > deviation[row + 1] else row + 1] = True
    in_a_row = bad[:-2] & bad[1:-1] & bad[2:]
    if not bad.any() or bad.mean() > _MAX_REPAIRED or in_a_row.any():
        return times, ""  # the checks that follow name the fault
    index = np.arange(len(times), dtype=np.float64)
    fixed = times.copy()
    fixed[bad] = np.interp(index[bad], index[~bad], times[~bad])
    return fixed, f"interpolate: {int(bad.sum())} of {len(times)} times"


def _check_times(times: Times, where: str) -> None:
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
            hint="check the column and the unit, and whether the file holds several recordings; `repair: "
            "interpolate` replaces single times, `repair: unwrap` with `wrap_s` undoes a counter that starts again",
        )


def _check_jumps(times: Times, max_gap_s: float | None, where: str) -> None:
    steps = np.diff(times)
    if not len(steps):
        return
    usual = float(np.median(steps))
    limit = max(_JUMP * usual, 1.0) if max_gap_s is None else max_gap_s
    row = int(np.argmax(steps))
    if steps[row] > limit:
        raise ClockError(
            "the times jump",
            where=where,
            expected=f"steps of {limit:.6g} s at most; the usual one is {usual:.6g} s",
            found=f"{np.count_nonzero(steps > limit)} longer; the longest: {times[row]:.6f} s, then "
            f"{times[row + 1]:.6f} s (rows {row + 1} and {row + 2})",
            hint="if the recording was paused there, say so with `max_gap_s`; `repair: interpolate` replaces single "
            "times",
        )
