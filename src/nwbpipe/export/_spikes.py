"""Times of spikes and events, counted in bins around trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.catalog import read_columns
from nwbpipe.errors import UnknownNameError
from nwbpipe.export._read_series import Axis, Floats, name_paths
from nwbpipe.session import SessionReader
from nwbpipe_kit.windows import resolve

ALWAYS = np.array([[-np.inf, np.inf]])


@dataclass(frozen=True)
class PointProcesses:
    """Times of some units, or of some types of events.

    Attributes
    ----------
    path : str
        Their table.
    axis : Axis
        A label for each.
    times : list of ndarray, shape (n_times,)
        In seconds, not decreasing.
    observed : list of ndarray, shape (n_intervals, 2)
        When each was observed; everything, if that is not known.
    """

    path: str
    axis: Axis
    times: list[Floats]
    observed: list[Floats]

    def count(self, anchors: Floats, edges: Floats) -> NDArray[np.float32]:
        """Return the counts in each bin, NaN where they were not observed: shape (n_anchors, n_bins, n_units)."""
        at = anchors[:, None] + edges
        slack = np.array([[resolve(anchor)] for anchor in anchors])  # a time that is no farther off an edge is on it
        counts = np.full((len(anchors), len(edges) - 1, len(self.times)), np.nan, dtype=np.float32)
        for number, (times, intervals) in enumerate(zip(self.times, self.observed, strict=True)):
            in_bins = np.diff(np.searchsorted(times, at - slack), axis=1)
            interval = np.searchsorted(intervals[:, 0], at[:, :-1] + slack, side="right") - 1
            is_observed = (interval >= 0) & (at[:, 1:] <= intervals[np.maximum(interval, 0), 1] + slack)
            counts[:, :, number] = np.where(is_observed, in_bins, np.nan)
        return counts


def list_point_processes(reader: SessionReader) -> dict[str, str]:
    """Return the paths of the tables of units and events of a file, by name."""
    return name_paths(
        item.path
        for item in reader.objects
        if {"Units", "EventsTable"} & item.lineage and isinstance(reader.file[item.path], h5py.Group)
    )


def read_point_processes(reader: SessionReader, path: str) -> PointProcesses:
    """Read a table of units or events.

    Raises
    ------
    UnknownNameError
        If it has no times.
    """
    group = reader.file[path]
    if "timestamp" in group:
        times, kinds = read_events(group)
        labels = np.array(sorted(set(kinds.tolist())), dtype=object)
        times_by_type = [np.sort(times[kinds == kind]) for kind in labels]
        axis = Axis("event_type", labels, path)
        return PointProcesses(path, axis, times_by_type, [ALWAYS] * len(times_by_type))
    if "spike_times_index" not in group:
        msg = "the units have no spike times"
        raise UnknownNameError(msg, where=path, expected="a column spike_times", hint="name another table of units")
    spikes = _read_ragged(group, "spike_times")
    observed = [ALWAYS] * len(spikes)
    if "obs_intervals_index" in group:
        observed = [_merge(intervals) for intervals in _read_ragged(group, "obs_intervals")]
    columns, _ = read_columns(group, without=("spike_times", "obs_intervals"))
    plain = {name: v for name, v in columns.items() if name != "id" and isinstance(v, np.ndarray) and v.ndim == 1}
    return PointProcesses(path, Axis("unit", group["id"][()], path, plain), [np.sort(s) for s in spikes], observed)


def read_events(group: h5py.Group) -> tuple[Floats, NDArray[Any]]:
    """Return the times of a table of events, and the type of each: the table's name, if it has no types."""
    columns, _ = read_columns(group)
    times = np.asarray(columns["timestamp"], dtype=np.float64)
    name = str(group.name).rpartition("/")[2]
    return times, np.asarray(columns.get("event_type", [name] * len(times)), dtype=object).astype(str)


def _read_ragged(group: h5py.Group, name: str) -> list[Any]:
    ends = np.asarray(group[f"{name}_index"][()], dtype=np.int64)
    values = np.asarray(group[name][()], dtype=np.float64)
    return [values[first:last] for first, last in zip(np.concatenate(([0], ends[:-1])), ends, strict=True)]


def _merge(intervals: Floats) -> Floats:
    """Join intervals that touch; what is left is sorted, and never observed is an interval of no time."""
    merged: list[list[float]] = []
    for start, stop in sorted(intervals.reshape(-1, 2).tolist()):
        if merged and start <= merged[-1][1] + resolve(start):
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    return np.array(merged or [[np.inf, np.inf]])
