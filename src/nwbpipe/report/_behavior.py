"""Behaviour: events over the session, trials side by side, and what the trials' columns hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nwbpipe.report._content import Figure, SessionContent, name_with_step, types_of
from nwbpipe.report._events import split_events
from nwbpipe.report._plot import GREY, PALETTE, Plot, find_limits
from nwbpipe.report._table import draw_table

_MOST_KINDS = 8  # of a column whose values are counted
_MOST_TRIALS = 2000


def draw_behavior(content: SessionContent) -> Iterator[Figure]:
    """Draw events, and each table of intervals."""
    yield from _draw_events(content)
    for table in content.find("TimeIntervals"):
        if len(table) and table.name != "invalid_times":
            yield from _draw_trials(content, table)


def _draw_events(content: SessionContent) -> Iterator[Figure]:
    tables = [table for table in content.find("DynamicTable") if "timestamp" in table.colnames and len(table)]
    kinds = [(name, times) for table in tables for name, times in split_events(table)][:30]
    if not kinds:
        return
    span = find_limits(*(times for _, times in kinds), pad=0)
    plot = Plot(
        span, (-len(kinds), 0), height=24 * len(kinds) + 44, x_label="time (s)", y_ticks=False, label="events"
    )
    for number, (_, times) in enumerate(kinds):
        plot.marks(times, -number - 0.9, -number - 0.1, PALETTE[number % len(PALETTE)])
    rows = [[name, len(times), f"{times[0]:.3f} to {times[-1]:.3f} s"] for name, times in kinds]
    body = plot.render() + draw_table(["event, from top to bottom", "count", "first and last"], rows)
    yield Figure("Events", body)


def _draw_trials(content: SessionContent, table: Any) -> Iterator[Figure]:
    starts, stops = (np.asarray(table[name][:], dtype=np.float64) for name in ("start_time", "stop_time"))
    count = min(len(table), _MOST_TRIALS)
    starts, stops = starts[:count], stops[:count]
    name = name_with_step(content, table)
    moments = _find_moments(table, starts, stops)
    longest = float(np.nanmax(stops - starts)) if np.isfinite(stops - starts).any() else 1.0
    plot = Plot(
        (0, longest),
        (-count, 0),
        height=int(np.clip(3 * count, 90, 420)) + 44,
        x_label="time from its start (s)",
        y_label=name,
        y_ticks=False,
    )
    for row in range(count):
        plot.spans([0.0], [stops[row] - starts[row]], -row - 0.9, -row - 0.1, GREY, opacity=0.25)
    key = []
    for number, (column, times) in enumerate(moments):
        color = PALETTE[number % len(PALETTE)]
        for row in range(count):
            if np.isfinite(times[row]):
                plot.marks([times[row] - starts[row]], -row - 0.95, -row - 0.05, color, 1.6)
        key.append(Markup('<span class="key" style="color:{}">■ {}</span>').format(color, column))
    body = plot.render() + Markup("<div>{}</div>").format(Markup(" ").join(key)) + _count_values(table, len(table))
    yield Figure(
        f"{name}: {len(table)} rows", body, "The first at the top; each bar lasts from its start to its stop."
    )


def _find_moments(
    table: Any, starts: NDArray[np.float64], stops: NDArray[np.float64]
) -> list[tuple[str, NDArray[np.float64]]]:
    """Return the columns that hold times within the trials."""
    moments = []
    for name in table.colnames:
        data = table[name].data
        if name in ("start_time", "stop_time") or np.ndim(data) != 1 or "time" not in name.lower():
            continue
        values = np.asarray(data[: len(starts)])
        if values.dtype.kind == "f" and len(values) == len(starts):
            is_finite = np.isfinite(values)
            if is_finite.any() and ((values >= starts - 1e-6) & (values <= stops + 1e-6))[is_finite].mean() > 0.5:
                moments.append((name, values))
    return moments[: len(PALETTE)]


def _count_values(table: Any, count: int) -> Markup:
    rows = []
    for name in table.colnames:
        column = table[name]
        if np.ndim(column.data) != 1 or len(column.data) != count or "VectorIndex" in types_of(column):
            continue
        values = np.asarray(column.data[:])
        if values.dtype.kind in "OSUb" or (values.dtype.kind in "iu" and len(np.unique(values)) <= _MOST_KINDS):
            counted = Counter(value.decode() if isinstance(value, bytes) else str(value) for value in values)
            if 1 < len(counted) <= _MOST_KINDS:
                rows.append([name, ", ".join(f"{value}: {number}" for value, number in counted.most_common())])
    return draw_table(["column", "values"], rows) if rows else Markup("")
