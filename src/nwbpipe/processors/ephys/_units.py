"""Units of a sorting, as NWB has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.processors._base import Results
from nwbpipe.processors.ephys._electrodes import row_of

if TYPE_CHECKING:
    from pynwb.core import DynamicTable
    from pynwb.ecephys import ElectricalSeries
    from pynwb.misc import Units

    from nwbpipe.processors.ephys._parameters import SpikeSortingParams

#: What each quality metric is (SpikeInterface's ``quality_metrics``, whose names these are).
METRICS = {
    "num_spikes": "Number of spikes",
    "firing_rate": "Mean firing rate, in Hz",
    "presence_ratio": "Fraction of 60 s bins in which the unit fires, 0 to 1 (NaN in recordings under 60 s)",
    "snr": "Peak of the mean waveform over the noise of its channel (median absolute deviation), without unit",
    "isi_violations_ratio": "Rate of inter-spike interval violations over the unit's rate (Hill et al. 2011, "
    "J Neurosci 31:8699), without unit; more than 1 is possible",
    "isi_violations_count": "Number of inter-spike intervals below the threshold",
    "rp_contamination": "Fraction of spikes of other origin, from refractory period violations (Llobet et al. 2022), "
    "0 to 1",
    "rp_violations": "Number of refractory period violations (1 ms)",
    "sliding_rp_violation": "Least contamination that can be refused with 90 % confidence, over refractory periods "
    "of several lengths (International Brain Laboratory et al. 2022), 0 to 1",
    "amplitude_cutoff": "Estimated fraction of spikes missed below the detection threshold (Hill et al. 2011), 0 to "
    "0.5 (NaN under 500 spikes)",
    "amplitude_median": "Median amplitude of the spikes on the unit's main channel, in microvolts",
    "sd_ratio": "Standard deviation of the spike amplitudes over that of the noise, without unit",
}
_COUNTS = {"num_spikes", "isi_violations_count", "rp_violations"}
_AXES = {"x": "across the probe", "y": "along the probe", "z": "away from the probe"}


def units_table(
    name: str, electrodes: DynamicTable, series: ElectricalSeries, results: Results, params: SpikeSortingParams
) -> Units:
    """Build the table of units.

    Parameters
    ----------
    name : str
        Its name in the file.
    electrodes : pynwb.ecephys.ElectrodesTable
        The file's electrodes.
    series : pynwb.ecephys.ElectricalSeries
        What was sorted.
    results : Results
        What `_spikesorting_compute` left.
    params : SpikeSortingParams

    Returns
    -------
    pynwb.misc.Units
        One row a unit, none where the sorter found nothing.
    """
    from hdmf.common import DynamicTableRegion, VectorData, VectorIndex
    from pynwb.misc import Units

    arrays, summary = results.arrays, results.summary
    times, ends = arrays["spike_times"][:], arrays["spike_times_index"][:]
    intervals, mean, sd = arrays["obs_intervals"][:], arrays["template_mean"][:], arrays["template_sd"][:]
    units, rows = len(ends), row_of(series, arrays["channel_indices"][:])
    peak_rows = rows[arrays["peak_channel"][:]].astype("int64")
    columns: list[Any] = []

    def add(column: str, text: str, values: NDArray[Any], row_ends: NDArray[np.int64] | None = None) -> None:
        data = VectorData(name=column, description=text, data=values)
        _add_ragged(data, row_ends)

    def _add_ragged(data: Any, row_ends: NDArray[np.int64] | None) -> None:
        # The index stands before its data, as in the tables that pynwb itself makes.
        if row_ends is not None:
            columns.append(VectorIndex(name=f"{data.name}_index", data=row_ends, target=data))
        columns.append(data)

    def repeated(count: int) -> NDArray[np.int64]:
        return np.arange(1, units + 1, dtype="int64") * count

    add("spike_times", "Times of the spikes, in seconds in the session's clock", times, ends)
    add(
        "obs_intervals",
        "Stretches that were recorded without a gap, start and end in seconds",
        np.tile(intervals, (units, 1)),
        repeated(len(intervals)),
    )
    text = "Electrodes of the waveforms, in their order: all that were sorted"
    region = DynamicTableRegion(name="electrodes", description=text, data=np.tile(rows, units), table=electrodes)
    _add_ragged(region, repeated(len(rows)))
    text = "Electrode on which the mean waveform is largest, peak to peak"
    columns.append(DynamicTableRegion(name="peak_electrode", description=text, data=peak_rows, table=electrodes))
    if units:
        text = "Electrode group that the unit's largest waveform is on"
        groups = np.array([electrodes["group"][int(row)] for row in peak_rows], dtype=object)
        columns.append(VectorData(name="electrode_group", description=text, data=groups.tolist()))
        drawn = f"up to {params.max_spikes_per_unit} spikes drawn at random, on each of `electrodes`, filtered"
        add("waveform_mean", f"Mean waveform of {drawn}, in volts", mean * np.float32(1e-6))
        add("waveform_sd", f"Standard deviation of {drawn}, in volts", sd * np.float32(1e-6))
        locations = arrays["unit_locations"][:]
        for axis, coordinates in zip(_AXES, locations.T, strict=True):
            if np.isfinite(coordinates).any():
                add(f"estimated_{axis}", f"Estimated position of the unit {_AXES[axis]}, in micrometers", coordinates)
    for metric in sorted(arrays["metrics"], key=_rank):
        values = arrays["metrics"][metric][:]
        if metric in _COUNTS and np.isfinite(values).all():
            values = values.astype("int64")
        if not np.isnan(values).all():  # a column of NaN tells nothing
            add(metric, METRICS.get(metric, f"SpikeInterface's quality metric {metric}"), values)
    return Units(
        name=name,
        description=f"Units that {summary['sorter']} {summary['sorter_version']} found in {series.name!r}",
        id=np.arange(units, dtype="int64"),
        columns=columns,
        colnames=[column.name for column in columns if not isinstance(column, VectorIndex)],
        electrode_table=electrodes,
        waveform_rate=float(summary["rate"]),
        waveform_unit="volts",
        waveform_time_before_peak_in_ms=float(summary["ms_before"]),
        resolution=1.0 / float(summary["rate"]),
    )


def _rank(metric: str) -> tuple[int, str]:
    names = list(METRICS)
    return (names.index(metric) if metric in names else len(names), metric)
