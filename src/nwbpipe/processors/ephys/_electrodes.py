"""Return the groups, gains and locations of an ElectricalSeries' electrodes, for sorters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pynwb.ecephys import ElectricalSeries

Floats = NDArray[np.float64]


def electrode_groups(series: ElectricalSeries) -> tuple[list[str], list[int]]:
    """Return the names of the electrode groups, and the index of each channel's group among them."""
    table, rows = series.electrodes.table, series.electrodes.data[:]
    if "group_name" not in table.colnames:
        return ["all"], [0] * len(rows)
    names = [str(name) for name in np.asarray(table["group_name"].data[:], dtype=object)[rows]]
    order = list(dict.fromkeys(names))
    return order, [order.index(name) for name in names]


def gains_and_offsets(series: ElectricalSeries) -> tuple[list[float], list[float]]:
    """Return the microvolts to a step of each channel's stored values, and at their zero."""
    channels = len(series.electrodes.data)
    conversions = (
        np.ones(channels) if series.channel_conversion is None else np.asarray(series.channel_conversion[:], float)
    )
    gains = float(series.conversion) * conversions * 1e6
    return gains.tolist(), [float(series.offset or 0.0) * 1e6] * channels


def channel_locations(series: ElectricalSeries, group_of: list[int]) -> Floats | None:
    """Return where the channels are.

    Parameters
    ----------
    series : ElectricalSeries
    group_of : list of int
        Index of each channel's electrode group.

    Returns
    -------
    ndarray of float64, shape (channels, 2), or None
        In micrometers, in the plane of the probe: ``rel_x`` and ``rel_y`` of the electrodes table, else its ``x``,
        ``y`` and ``z``, laid into the plane that fits each group best (distances stay). None if the table has
        neither, or has gaps, or puts two channels of a group in one place.
    """
    planar = _columns(series, ("rel_x", "rel_y"))
    if planar is None:
        spatial = _columns(series, ("x", "y", "z"))
        if spatial is None:
            return None
        planar = np.empty((len(spatial), 2))
        for group in set(group_of):
            members = np.flatnonzero(np.asarray(group_of) == group)
            planar[members] = _project_to_plane(spatial[members])
    for group in set(group_of):
        inside = planar[np.asarray(group_of) == group]
        if len(np.unique(inside, axis=0)) < len(inside):
            return None
    return planar


def _columns(series: ElectricalSeries, names: tuple[str, ...]) -> Floats | None:
    table, rows = series.electrodes.table, series.electrodes.data[:]
    if not set(names) <= set(table.colnames):
        return None
    values = np.column_stack([np.asarray(table[name].data[:], dtype=np.float64)[rows] for name in names])
    return values if np.isfinite(values).all() else None


def _project_to_plane(points: Floats) -> Floats:
    centred = points - points.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=True)[2]
    # The longest extent is the shank's: it becomes y, as in SpikeInterface.
    plane: Floats = centred @ axes[[1, 0]].T
    return plane


def row_of(series: Any, channels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of the electrodes table that these columns of the series were recorded with."""
    rows: NDArray[np.int64] = np.asarray(series.electrodes.data[:], dtype=np.int64)[channels]
    return rows
