"""Compare when the sources of a session were recorded: each must overlap the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.converters._added import AddedObjects, load_array, sample_count
from nwbpipe.converters.accounts._compare import raise_unaccepted
from nwbpipe.converters.clocks._alignment import time_columns
from nwbpipe.errors import Problem

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source

_MARGIN_S = 1.0  # clocks that are aligned by hand are right to within a second

Extent = tuple[float, float]


def measure_extent(added: AddedObjects) -> Extent | None:
    """Return the first and last time (s) of all that a source added; None if nothing in it has a time."""
    bounds = [bound for series in added.series() if (bound := series_extent(series)) is not None]
    for table, first in added.tables():
        for column, is_time in time_columns(table, first, []):
            values = np.asarray(load_array(column.data), dtype=np.float64).ravel() if is_time else np.zeros(0)
            values = values[np.isfinite(values)]
            if first == 0 and values.size:
                bounds.append((float(values.min()), float(values.max())))
    return (min(low for low, _ in bounds), max(high for _, high in bounds)) if bounds else None


def series_extent(series: Any) -> Extent | None:
    """Return when a series begins and ends (s), its last sample being as long as the others; None if it has none."""
    count = sample_count(series)
    timestamps = series.timestamps
    if not count or (timestamps is None and not series.rate):
        return None
    if timestamps is not None:
        times = load_array(timestamps)
        if not len(times):
            return None
        first, last = float(times[0]), float(times[-1])
        return first, last + (last - first) / max(len(times) - 1, 1)
    start = float(series.starting_time or 0.0)
    return start, start + count / float(series.rate)


def check_extents(sources: Iterable[Source]) -> None:
    """Refuse sources whose times lie apart from all others', once all are on the reference clock.

    A source without a clock of its own begins with the reference, and overlaps it. Sources that overlap, directly or
    through others, are one group; with a second group, the clock of its sources is aligned wrongly, or the files are
    of another session.

    Raises
    ------
    AccountError
        If they do; a source with ``accept: [extent]`` is left out.
    """
    extents = [(source, extent) for source in sources if (extent := measure_extent(source.added)) is not None]
    groups: list[tuple[Extent, list[Source]]] = []
    for source, (low, high) in sorted(extents, key=lambda item: item[1]):
        if groups and low <= groups[-1][0][1] + _MARGIN_S:
            (start, stop), members = groups[-1]
            groups[-1] = ((start, max(stop, high)), [*members, source])
        else:
            groups.append(((low, high), [source]))
    if len(groups) < 2:
        return
    main = max(groups, key=lambda group: (_holds_reference(group[1]), group[0][1] - group[0][0]))
    for group in groups:
        if group is main:
            continue
        for source in group[1]:
            problem = _describe(source, group[0], main)
            source.tell(*raise_unaccepted([("extent", problem)], source.where, source.spec.accept or ()))


def _holds_reference(sources: Iterable[Source]) -> bool:
    return any(source.is_reference for source in sources)


def _describe(source: Source, extent: Extent, main: tuple[Extent, list[Source]]) -> Problem:
    (start, stop), neighbours = main
    names = ", ".join(source.name for source in neighbours[:5])
    apart = max(start - extent[1], extent[0] - stop)
    return Problem(
        "the source lies apart from the others in time",
        f"{source.where}: {source.file_names}",
        f"times that overlap {names}: {_format(start)} to {_format(stop)}",
        f"{_format(extent[0])} to {_format(extent[1])}, {_format(apart)} apart",
        f"correct how the clock {source.clock!r} is aligned, or the unit of the times",
    )


def _format(seconds: float) -> str:
    return f"{seconds:,.3f} s"
