"""Objects that a source adds to a file in memory: which they are, their samples and their times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pynwb import NWBFile

Times = npt.NDArray[np.float64]


@dataclass
class AddedObjects:
    """Objects that one source added to the file.

    Parameters
    ----------
    objects : list
        Containers that were not there before.
    grown_tables : list of (DynamicTable, int)
        Tables that were there and grew, each with its first new row.
    """

    objects: list[Any] = field(default_factory=list)
    grown_tables: list[tuple[Any, int]] = field(default_factory=list)

    def series(self) -> list[Any]:
        """Return the time series that were added."""
        from pynwb import TimeSeries

        return [item for item in self.objects if isinstance(item, TimeSeries)]

    def tables(self) -> Iterator[tuple[Any, int]]:
        """Iterate over the tables that were added or grew, each with its first new row."""
        for item in self.objects:
            if _is_table(item):
                yield item, 0
        yield from self.grown_tables


@contextmanager
def collect_added(nwbfile: NWBFile) -> Iterator[AddedObjects]:
    """Collect the objects that the block adds to a file; they are complete when the block ends."""
    added = AddedObjects()
    rows = {id(item): len(item) if _is_table(item) else 0 for item in nwbfile.all_children()}
    yield added
    for item in nwbfile.all_children():
        if id(item) not in rows:
            added.objects.append(item)
        elif _is_table(item) and len(item) > rows[id(item)]:
            added.grown_tables.append((item, rows[id(item)]))


def _is_table(item: Any) -> bool:
    from hdmf.common import DynamicTable

    return isinstance(item, DynamicTable)


def load_array(data: Any) -> Any:
    """Return the values behind hdmf's wrappers as an array."""
    from hdmf.data_utils import AbstractDataChunkIterator, DataIO

    while isinstance(data, DataIO):
        data = data.data
    if isinstance(data, AbstractDataChunkIterator):
        return np.concatenate([np.atleast_1d(np.asarray(chunk.data)) for chunk in data])
    return np.asarray(data)


def sample_count(series: Any) -> int:
    """Return the number of samples of a series, those in external files included."""
    if getattr(series, "external_file", None) is not None:
        declared = getattr(series, "_num_samples", None)
        if declared is not None:
            return int(declared)
        timestamps = series.timestamps
        return 0 if timestamps is None else len(load_array(timestamps))
    from hdmf.utils import get_data_shape

    shape = get_data_shape(series.data)
    return int(shape[0]) if shape and shape[0] is not None else len(series.data)


def original_times(series: Any, count: int) -> Times:
    """Return the times of a series as its source gave them, in seconds."""
    if series.timestamps is not None:
        return np.asarray(load_array(series.timestamps), dtype=np.float64)
    rate = float(series.rate) if series.rate else 1.0
    return float(series.starting_time or 0.0) + np.arange(count) / rate
