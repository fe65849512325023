"""Refuse what no recording can be: times that go back or lie years off, counts called volts, parts that do not fit.

The rules hold for the objects in memory, wherever their values came from: an argument, a clock or a reader. Each
has a word, by which a source's `accept` says that a person has looked and found it right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.converters._added import Times, load_array, sample_count
from nwbpipe.converters._parts import find_misfits
from nwbpipe.errors import Problem, SourceError

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source

SPAN_S = 30 * 86_400.0
# Units in which a raw count would be a million times too large, or more.
_MEASURED = {"volts", "volt", "v", "amperes", "ampere", "a"}
_EPOCHS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_YEAR_S = 365.25 * 86_400


def check_rules(sources: Iterable[Source], start: datetime, spec: Path) -> None:
    """Check the objects of all sources, their times on the reference clock.

    Parameters
    ----------
    sources : iterable of Source
        With what each has added to the file.
    start : datetime
        Start of the session.
    spec : Path
        The session.yaml, for messages.

    Raises
    ------
    SourceError
        With a problem for each object that breaks a rule which its source does not accept.
    """
    problems = []
    for source in sources:
        accepted = set(source.spec.accept or ())
        problems += [problem for rule, problem in _check_source(source, start) if rule not in accepted]
    if len(problems) == 1:
        problem = problems[0]
        raise SourceError(
            problem.what, where=problem.where, expected=problem.expected, found=problem.found, hint=problem.hint
        )
    if problems:
        raise SourceError("the session's data can't be right", where=str(spec), problems=problems)


def _check_source(source: Source, start: datetime) -> Iterator[tuple[str, Problem]]:
    spans: dict[str, tuple[float, float]] = {}
    for series in source.added.series():
        location = f"{source.where}: {series.name}"
        yield from _check_unit(series, location)
        times = series.fields.get("timestamps")
        if times is None:
            yield from _check_rate(series, location)
            spans[series.name] = _regular_span(series)
        elif not _is_series(times):  # a linked one is checked at its owner
            values = series.fields["timestamps"] = np.asarray(load_array(times), dtype=np.float64)
            yield from _check_order(values, f"samples of {series.name}", location, strictly=True)
            spans[series.name] = _span(values)
    for table, first in source.added.tables():
        location = f"{source.where}: {table.name}"
        yield from _check_column_names(table, location)
        for label, values, ordered in _table_times(table, first):
            if ordered:
                yield from _check_order(values, label, location, strictly=False)
            low, high = _span(values)
            span = spans.get(table.name, (np.inf, -np.inf))
            spans[table.name] = (min(low, span[0]), max(high, span[1]))
    for name, span in spans.items():
        yield from _check_span(name, span, start, source)
    for problem in find_misfits(source):
        yield "shape", problem


def _check_order(times: Times, label: str, where: str, *, strictly: bool) -> Iterator[tuple[str, Problem]]:
    wrong = np.flatnonzero(~np.isfinite(times))
    if wrong.size:
        count = f"{wrong.size} of {times.size}, the first in row {wrong[0] + 1}"
        hint = "correct the file, or give the times in a file of their own: `align: timestamps` and `repair`"
        yield "order", Problem(f"a time of the {label} is not finite", where, "a number for each", count, hint)
        return
    steps = np.diff(times)
    back = np.flatnonzero(steps <= 0 if strictly else steps < 0)
    if back.size:
        row = int(back[0])
        yield (
            "order",
            Problem(
                f"the times of the {label} do not increase" + (" strictly" if strictly else ""),
                where,
                "each time later than the one before" if strictly else "no time before the one above it",
                f"{back.size} of {steps.size} steps; the first from {times[row]:.6f} s to {times[row + 1]:.6f} s "
                f"(rows {row + 1} and {row + 2})",
                "check the column, and whether the file holds several recordings; a clock with `align: timestamps` "
                "and `repair` mends single times, `accept: [order]` in the source keeps them"
                if strictly
                else "sort the table, or check that it is of one session; `accept: [order]` keeps it as it is",
            ),
        )


def _check_rate(series: Any, where: str) -> Iterator[tuple[str, Problem]]:
    rate, start = series.fields.get("rate"), series.fields.get("starting_time")
    if getattr(series, "external_file", None) is None and sample_count(series) < 2 and not rate:
        return
    if rate is None or not np.isfinite(rate) or rate <= 0:
        hint = "give the rate with the argument of the interface, or times with `align: timestamps`"
        yield "order", Problem(f"the samples of {series.name} have no rate", where, "above 0 Hz", f"{rate} Hz", hint)
    elif start is not None and not np.isfinite(start):
        yield "order", Problem(f"the start of {series.name} is not finite", where, "a number", f"{start} s")


def _regular_span(series: Any) -> tuple[float, float]:
    start, rate = float(series.fields.get("starting_time") or 0.0), series.fields.get("rate")
    count = sample_count(series)
    return start, start + (count - 1) / float(rate) if rate and count else start


def _span(times: Times) -> tuple[float, float]:
    finite = times[np.isfinite(times)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.inf, -np.inf)


def _check_span(
    name: str, span: tuple[float, float], start: datetime, source: Source
) -> Iterator[tuple[str, Problem]]:
    low, high = span
    if high < low or (low >= -SPAN_S and high <= SPAN_S):
        return
    farthest = high if high > -low else low
    relation = "after" if farthest > 0 else "before"
    epoch = start.timestamp()
    unit = next((unit for unit, scale in _EPOCHS.items() if abs(farthest / scale - epoch) < 20 * _YEAR_S), None)
    if unit == "seconds":
        hint = (
            f"these look like Unix seconds: give the source a clock of its own, `clocks: {{{source.name}: {{align: "
            "unix}}`, and `reference_clock: session` if it is the only one"
        )
    elif unit is not None:
        hint = (
            f"these look like Unix {unit}: say the unit with the argument `time_unit`, and give the source "
            f"a clock of its own, `clocks: {{{source.name}: {{align: unix}}}}`"
        )
    else:
        hint = "check the unit of the times (ms, us or samples?); `accept: [span]` in the source keeps them"
    problem = Problem(
        f"the times of {name} lie {_describe_span(abs(farthest))} {relation} the session's start",
        source.where,
        f"times within {SPAN_S / 86_400:.0f} days of {start.isoformat()}",
        f"{low:.3f} s to {high:.3f} s",
        hint,
    )
    yield "span", problem


def _describe_span(seconds: float) -> str:
    years = seconds / _YEAR_S
    return f"{years:,.0f} years" if years >= 2 else f"{seconds / 86_400:.0f} days"


def _table_times(table: Any, first: int) -> Iterator[tuple[str, Times, bool]]:
    """Iterate over the times of a table: a label, the values, and True if they must be in order."""
    kinds = {owner.__name__ for owner in type(table).__mro__}
    columns = {column.name: column for column in table.columns}
    if "EventsTable" in kinds and "timestamp" in columns:
        values = _column_values(columns["timestamp"])[first:]
        types = columns.get("event_type")
        names = np.zeros(len(values)) if types is None else np.asarray(load_array(types.data))[first:].astype(str)
        for name in sorted(set(names.tolist())):
            yield f"events {name}" if types is not None else "events", values[names == name], True
    elif "TimeIntervals" in kinds:
        yield "intervals", _column_values(columns["start_time"])[first:], True
        yield "intervals' ends", _column_values(columns["stop_time"])[first:], False
    elif "Units" in kinds and "spike_times" in columns:
        index = np.asarray(load_array(columns["spike_times_index"].data), dtype=int)
        begin = int(index[first - 1]) if first else 0
        values = _column_values(columns["spike_times"])
        ends = index[first:]
        for unit, (low, high) in enumerate(zip((begin, *ends[:-1]), ends, strict=True), first):
            yield f"spikes of unit {unit}", values[low:high], True


def _column_values(column: Any) -> Times:
    return np.asarray(load_array(column.data), dtype=np.float64)


def _check_column_names(table: Any, where: str) -> Iterator[tuple[str, Problem]]:
    """Refuse columns that hide behind the table's own attributes, or that pynwb fails to write."""
    defined = {column["name"] for column in type(table).__columns__}
    hidden = [
        column.name for column in table.columns if column.name not in defined and hasattr(type(table), column.name)
    ]
    for name in hidden:
        yield (
            "names",
            Problem(
                f"the column {name!r} of {table.name} has the name of an attribute of the table",
                where,
                "a name that NWB does not reserve",
                name,
                "rename the column with the interface's option (`column_name_mapping`) or in the file; our "
                "TrialsInterface and BehaviorEventsInterface rename it",
            ),
        )


def _check_unit(series: Any, where: str) -> Iterator[tuple[str, Problem]]:
    """Refuse counts of a converter that are called volts, with nothing that makes volts of them."""
    unit = str(getattr(series, "unit", "") or "").lower()
    kind = _data_type(series)
    scaled = any(
        value is not None and not np.all(np.asarray(value) == neutral)
        for value, neutral in (
            (series.conversion, 1.0),
            (series.offset, 0.0),
            (getattr(series, "channel_conversion", None), 1.0),
        )
    )
    if unit in _MEASURED and kind is not None and kind.kind in "iu" and not scaled:
        problem = Problem(
            f"the samples of {series.name} are whole numbers, and are called {series.unit} as they are",
            where,
            "a conversion: the volts (or amperes) of one step",
            f"{kind}, conversion 1.0",
            "give the gain or conversion with the interface's argument or in `metadata`; if a step is 1 "
            f"{series.unit.rstrip('s')}, say `accept: [unit]`",
        )
        yield "unit", problem


def _data_type(series: Any) -> np.dtype[Any] | None:
    from hdmf.data_utils import DataIO

    data = series.data
    while isinstance(data, DataIO):
        data = data.data
    if data is None or getattr(series, "external_file", None) is not None:
        return None
    kind = getattr(data, "dtype", None)
    return np.asarray(data).dtype if kind is None else np.dtype(kind)


def _is_series(value: Any) -> bool:
    from pynwb import TimeSeries

    return isinstance(value, TimeSeries)
