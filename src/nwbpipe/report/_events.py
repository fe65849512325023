"""Find the kinds of events in a file: those of event tables, and the starts of intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.report._content import types_of

if TYPE_CHECKING:
    from nwbpipe.report._content import SessionContent

_MOST_KINDS = 12  # of events in one table
_NAMES = ("event_type", "label", "type", "event", "name")


def find_events(content: SessionContent) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield each kind of event with its times in seconds, in order."""
    for table in content.find("DynamicTable"):
        columns = set(table.colnames)
        if "timestamp" in columns and len(table):
            yield from split_events(table)
        elif {"start_time", "stop_time"} <= columns and len(table) and "ProcessingRun" not in types_of(table):
            starts = np.asarray(table["start_time"][:], dtype=np.float64)
            yield f"start of {table.name}", np.sort(starts[np.isfinite(starts)])


def split_events(table: Any) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield the events of a table by their kind, or all of them together."""
    times = np.asarray(table["timestamp"][:], dtype=np.float64)
    for column in _NAMES:
        if column in table.colnames and len(np.shape(table[column].data)) == 1:
            kinds = np.asarray([str(value) for value in table[column][:]])
            names = sorted(set(kinds))
            if 1 <= len(names) <= _MOST_KINDS:
                for name in names:
                    yield name, np.sort(times[kinds == name])
                return
    yield table.name, np.sort(times[np.isfinite(times)])
