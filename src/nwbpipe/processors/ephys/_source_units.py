"""A unit of a table, as the sorter found it or as a person curated it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Of a curated unit, these are the same as those of the largest unit that it was made from.
_PLACE = frozenset({"obs_intervals", "estimated_x", "estimated_y", "estimated_z"})


class SourceUnit:
    """A row of a table of units.

    Parameters
    ----------
    table : Units
    row : int
    quality : sequence of DynamicTable
        Tables of `unit_quality`, of any units.
    """

    def __init__(self, table: Any, row: int, quality: Sequence[Any] = ()) -> None:
        self.table, self.row = table, row
        self._quality = quality

    @cached_property
    def spike_times(self) -> NDArray[np.float64]:
        """Times of its spikes in seconds, ascending."""
        if "spike_times" not in self.table.colnames:
            return np.zeros(0)
        return np.asarray(self.table["spike_times"][self.row], dtype=np.float64)

    @cached_property
    def origin(self) -> SourceUnit | None:
        """The largest unit that a curated one was made from; None of a unit that nobody curated."""
        if "source_units" not in self.table.colnames:
            return None
        index = self.table["source_units"]
        first = int(index.data[self.row - 1]) if self.row else 0
        rows = [int(row) for row in index.target.data[first : int(index.data[self.row])]]
        sources = [SourceUnit(index.target.table, row, self._quality) for row in rows]
        largest = max(sources, key=lambda unit: len(unit.spike_times))
        self.is_unchanged = len(sources) == 1 and np.array_equal(largest.spike_times, self.spike_times)
        return largest

    is_unchanged = False

    def columns(self) -> list[str]:
        """Return the names of the columns that it, its origin and the tables of quality have."""
        names = [*self.table.colnames, *(name for table, _ in self._rows_of_quality() for name in table.colnames)]
        if self.origin is not None:
            names += self.origin.columns()
        return list(dict.fromkeys(names))

    def value(self, name: str) -> Any:
        """Return its value in a column; None if it is not known."""
        if name in self.table.colnames:
            return _plain(self.table[name][self.row])
        for table, row in self._rows_of_quality():
            if name in table.colnames:
                return _plain(table[name][row])
        if self.origin is not None and (name in _PLACE or self.is_unchanged):
            return self.origin.value(name)
        return None

    def per_spike(self, name: str) -> NDArray[np.float32] | None:
        """Return a value for each spike; None if they are not known."""
        values = self.value(name)
        return None if values is None or len(values) != len(self.spike_times) else np.asarray(values, "float32")

    @property
    def electrodes(self) -> NDArray[np.int64] | None:
        """Rows of its electrodes; None if they are not known."""
        if "electrodes" in self.table.colnames:
            index = self.table["electrodes"]
            first = int(index.data[self.row - 1]) if self.row else 0
            return np.asarray(index.target.data[first : int(index.data[self.row])], dtype=np.int64)
        return None if self.origin is None else self.origin.electrodes

    @property
    def peak_electrode(self) -> int | None:
        """Row of its peak electrode; None if it is not known."""
        if "peak_electrode" in self.table.colnames:
            return int(self.table["peak_electrode"].data[self.row])
        return None if self.origin is None else self.origin.peak_electrode

    @property
    def electrode_group(self) -> Any:
        """Its electrode group; None if it is not known."""
        if "electrode_group" in self.table.colnames:
            return self.table["electrode_group"].data[self.row]
        rows = self.electrodes
        if self.origin is not None:
            return self.origin.electrode_group
        if rows is None or not len(rows):
            return None
        return self.table["electrodes"].target.table["group"][int(rows[0])]

    @property
    def device_name(self) -> str:
        """Name of its probe; "" if it is not known."""
        group = self.electrode_group
        return str(self.value("device_name") or "") if group is None else str(group.device.name)

    def description(self, name: str) -> str:
        """Return the description of a column."""
        for table in (self.table, *(table for table, _ in self._rows_of_quality())):
            if name in table.colnames:
                column = table[name]
                return str(getattr(column, "target", column).description)
        return "" if self.origin is None else self.origin.description(name)

    def _rows_of_quality(self) -> Iterator[tuple[Any, int]]:
        for table in self._quality:
            region = table["unit"]
            if region.table is self.table or region.table.object_id == self.table.object_id:
                rows = np.flatnonzero(np.asarray(region.data[:]) == self.row)
                if len(rows):
                    yield table, int(rows[0])


def list_units(table: Any, quality: Sequence[Any] = ()) -> list[SourceUnit]:
    """Return the units of a table."""
    return [SourceUnit(table, row, quality) for row in range(len(table))]


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
