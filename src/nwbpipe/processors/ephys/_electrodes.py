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


def channel_names(series: ElectricalSeries) -> list[str]:
    """Return the names of the channels; empty if the electrodes table has none."""
    table, rows = series.electrodes.table, series.electrodes.data[:]
    if "channel_name" not in table.colnames:
        return []
    return [str(name) for name in np.asarray(table["channel_name"].data[:], dtype=object)[rows]]


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


def sample_shifts(series: ElectricalSeries) -> list[float] | None:
    """Return the delay of each channel's samples in samples (0 to 1), or None if the converter is not known.

    Neuropixels sample their channels one after another. The column ``inter_sample_shift`` has the delay; in files
    without it, ``adc_sample_order`` has the order: 12 channels in 13 cycles (1.0), or 16 in 16 (2.0).
    """
    shifts = _columns(series, ("inter_sample_shift",))
    if shifts is not None:
        return [float(value) for value in shifts[:, 0]]
    order = _columns(series, ("adc_sample_order",))
    if order is None or order.min() < 0:
        return None
    cycles = 13.0 if order.max() < 12 else 16.0
    return [float(value / cycles) for value in order[:, 0]] if order.max() < cycles else None


#: A group is dense enough for its motion to be seen with more channels than this, within this width.
CHANNELS_FOR_MOTION, WIDTH_FOR_MOTION_UM = 32, 60.0


def dense_groups(locations: Floats, group_of: list[int]) -> list[int]:
    """Return the groups whose channels are dense enough along one line for the motion of tissue to be seen."""
    groups = np.asarray(group_of)
    return [
        int(group)
        for group in np.unique(groups)
        if np.sum(groups == group) > CHANNELS_FOR_MOTION
        and np.ptp(locations[groups == group, 0]) <= WIDTH_FOR_MOTION_UM
    ]
