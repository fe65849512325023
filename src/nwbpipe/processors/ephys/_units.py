"""Units of a sorting, as NWB has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import InputError, ResultExistsError
from nwbpipe.processors._base import Results
from nwbpipe.processors.ephys._clock import find_intervals, times_of
from nwbpipe.processors.ephys._electrodes import row_of
from nwbpipe.provenance import find_current_record, read_records

if TYPE_CHECKING:
    from pynwb import NWBFile
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
#: Columns of text, and columns with a value for each spike.
_TEXTS = {
    "unit_name": "Name of the unit in the sorter's output",
    "quality_label": "Label that a person gave the unit in the loaded folder (Phy: good, mua, noise, unsorted)",
    "ks_label": "Label that Kilosort gave the unit (good, mua)",
}
_PER_SPIKE = {
    "spike_amplitudes": "Amplitude of each spike on the unit's main channel, in microvolts",
    "spike_depths": "Position of each spike along the probe (centre of mass of its amplitudes), in micrometers",
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
    ends = arrays["spike_times_index"][:].astype("int64")
    times = arrays["spike_times"][:] if "spike_times" in arrays else times_of(series, arrays["spike_samples"][:])
    intervals = arrays["obs_intervals"][:] if "obs_intervals" in arrays else find_intervals(series)
    units, rows = len(ends), row_of(series, arrays["channel_indices"][:])
    columns: list[Any] = []

    def add(column: str, text: str, values: Any, row_ends: NDArray[np.int64] | None = None) -> None:
        _add_ragged(VectorData(name=column, description=text, data=values), row_ends)

    def _add_ragged(data: Any, row_ends: NDArray[np.int64] | None) -> None:
        # The index stands before its data, as in the tables that pynwb itself makes.
        if row_ends is not None:
            columns.append(VectorIndex(name=f"{data.name}_index", data=row_ends, target=data))
        columns.append(data)

    def repeat_ends(count: int) -> NDArray[np.int64]:
        return np.arange(1, units + 1, dtype="int64") * count

    add("spike_times", "Times of the spikes, in seconds in the session's clock", times, ends)
    add(
        "obs_intervals",
        "Stretches that were recorded without a gap and without an artefact, start and end in seconds",
        np.tile(intervals, (units, 1)),
        repeat_ends(len(intervals)),
    )
    nearest = arrays["template_channels"][:] if "template_channels" in arrays else None
    of_units = np.tile(rows, (units, 1)) if nearest is None else rows[nearest]
    text = "Electrodes of the waveforms, in their order: " + (
        "all that were sorted" if of_units.shape[1] == len(rows) else f"the {of_units.shape[1]} nearest to the peak"
    )
    data = of_units.reshape(-1).astype("int64")
    region = DynamicTableRegion(name="electrodes", description=text, data=data, table=electrodes)
    _add_ragged(region, repeat_ends(of_units.shape[1]))
    peaks = arrays["peak_channel"][:]
    if (peaks >= 0).all():
        text = "Electrode on which the mean waveform is largest, peak to peak"
        peak_rows = rows[peaks].astype("int64")
        columns.append(DynamicTableRegion(name="peak_electrode", description=text, data=peak_rows, table=electrodes))
        if units:
            text = "Electrode group that the unit's largest waveform is on"
            groups = np.array([electrodes["group"][int(row)] for row in peak_rows], dtype=object)
            columns.append(VectorData(name="electrode_group", description=text, data=groups.tolist()))
    if units:
        for column, text in _TEXTS.items():
            if column in arrays:
                add(column, text, [str(value) for value in arrays[column].asstr()[:]])
        if "template_mean" in arrays:
            drawn = summary.get(
                "waveforms",
                f"up to {params.max_spikes_per_unit} spikes drawn at random, on each of `electrodes`, filtered",
            )
            add("waveform_mean", f"Mean waveform of {drawn}, in volts", arrays["template_mean"][:] * np.float32(1e-6))
            text = f"Standard deviation of {drawn}, in volts"
            add("waveform_sd", text, arrays["template_sd"][:] * np.float32(1e-6))
            if "waveforms" in arrays:
                columns += build_waveform_columns(arrays, params.waveforms_per_unit)
            locations = arrays["unit_locations"][:]
            for axis, coordinates in zip(_AXES, locations.T, strict=True):
                if np.isfinite(coordinates).any():
                    text = f"Estimated position of the unit {_AXES[axis]}, in micrometers"
                    add(f"estimated_{axis}", text, coordinates)
        for column, text in _PER_SPIKE.items():
            if column in arrays:
                add(column, text, arrays[column][:], ends)
    for metric in sorted(arrays["metrics"], key=_rank):
        values = arrays["metrics"][metric][:]
        if metric in _COUNTS and np.isfinite(values).all():
            values = values.astype("int64")
        if not np.isnan(values).all():  # a column of NaN tells nothing
            add(metric, METRICS.get(metric, f"SpikeInterface's quality metric {metric}"), values)
    for column in sorted(arrays.get("properties", ())):
        values = arrays["properties"][column]
        values = values[:] if values.dtype.kind in "iufb" else list(values.asstr()[:])
        add(column, f"Column {column} of the tables of the loaded folder", values)
    return Units(
        name=name,
        description=describe_sorting(series.name, summary),
        id=np.arange(units, dtype="int64"),
        columns=columns,
        colnames=[column.name for column in columns if not isinstance(column, VectorIndex)],
        electrode_table=electrodes,
        waveform_rate=float(summary["rate"]),
        waveform_unit="volts",
        **({"waveform_time_before_peak_in_ms": float(summary["ms_before"])} if "ms_before" in summary else {}),
        resolution=1.0 / float(summary["rate"]),
    )


def build_waveform_columns(arrays: Mapping[str, Any], count: int) -> list[Any]:
    """Return the columns of the waveforms that were kept, and which of the unit's spikes they are of.

    Parameters
    ----------
    arrays : mapping
        What `_kept_waveforms.store_waveforms` left.
    count : int
        How many spikes of each unit there are at most.
    """
    from hdmf.common import VectorData, VectorIndex

    from nwbpipe.processors._dataset_chunks import DatasetChunks

    text = (
        f"Waveforms of up to {count} spikes of each unit, of those that waveform_mean is made of, on each of "
        "`electrodes` in their order, in volts; waveform_spikes says of which spikes"
    )
    data = VectorData(name="waveforms", description=text, data=DatasetChunks(arrays["waveforms"]))
    of_spikes = VectorIndex(name="waveforms_index", data=arrays["waveforms_index"][:], target=data)
    ends = arrays["waveforms_index_index"][:]
    of_units = VectorIndex(name="waveforms_index_index", data=ends, target=of_spikes)
    text = "Position, from 0, in the unit's spike_times of each spike that has its waveforms in `waveforms`"
    spikes = VectorData(name="waveform_spikes", description=text, data=arrays["waveform_spikes"][:])
    index = VectorIndex(name="waveform_spikes_index", data=ends, target=spikes)
    return [of_units, of_spikes, data, index, spikes]


def check_units_are_free(nwbfile: NWBFile, step: str, hint: str) -> None:
    """Refuse where ``/units`` is of another origin; the step's own ones can be replaced.

    Raises
    ------
    ResultExistsError
    """
    if nwbfile.units is None:
        return
    record = find_current_record(read_records(nwbfile.units.id.data.file), step)
    if record is None or nwbfile.units.object_id not in {output.object_id for output in record.outputs}:
        msg = "the file has units already"
        expected, found = f"none, as the step {step!r} is to write them", f"{len(nwbfile.units)} units"
        raise ResultExistsError(msg, where="/units", expected=expected, found=found, hint=hint)


def set_units(nwbfile: NWBFile, table: Units, step: str, hint: str) -> None:
    """Make a table the file's ``/units``, of which there can be only one.

    Raises
    ------
    ResultExistsError
        Another step wrote units meanwhile.
    """
    check_units_are_free(nwbfile, step, hint)
    nwbfile.units = table


def require_spike_times(units: Units, where: str) -> None:
    """Refuse a table of units without spike times.

    Raises
    ------
    InputError
    """
    if len(units) and "spike_times" not in units.colnames:
        msg = "the units have no spike times"
        raise InputError(msg, where=where, expected="a column spike_times")


def describe_sorting(series: str, summary: Mapping[str, Any]) -> str:
    """Return in words how the units were found: the sorter, and what was decided before it."""
    parts = [f"Units that {summary['sorter']} {summary['sorter_version']} found in {series!r}"]
    bad = summary.get("bad_channels") or {}
    if bad:
        listed = ", ".join(f"{channel} ({label})" for channel, label in bad.items())
        parts.append(f"channels of the series that are not good: {listed}")
    if summary.get("artifacts"):
        parts.append(f"{summary['artifacts']} artefacts were set to zero")
    if summary.get("common_reference"):
        parts.append(f"common reference: {summary['common_reference']}")
    if summary.get("phase_shift"):
        parts.append("delays of the converter were undone")
    if summary.get("joined_fragments"):
        parts.append(f"{summary['joined_fragments']} fragments of units were joined to them")
    if summary.get("small_units"):
        spikes = summary["spikes_of_small_units"]
        parts.append(f"{summary['small_units']} units of very few spikes ({spikes} in all) were left out")
    if summary.get("motion"):
        parts.append(summary["motion"])
    parts += summary.get("notes", ())
    return "; ".join(parts)


def _rank(metric: str) -> tuple[int, str]:
    names = list(METRICS)
    return (names.index(metric) if metric in names else len(names), metric)
