"""Recordings and units of a session as objects of SpikeInterface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.catalog import read_columns
from nwbpipe.errors import InputError, UnknownNameError
from nwbpipe.export._libraries import import_library
from nwbpipe.export._read_series import Series, list_series, select_series
from nwbpipe.provenance import find_current_record
from nwbpipe.session import SessionFile, SessionReader

if TYPE_CHECKING:
    from spikeinterface import BaseRecording, BaseSorting

_UNITS = "units"


class SpikeInterfaceSession(NamedTuple):
    """A recording and the units that were found in it.

    Attributes
    ----------
    recording : BaseRecording
        Traces in microvolts, float32, read from the session file as they are asked for; its times are those of the
        session.
    sorting : BaseSorting or None
        Spikes as samples of the recording. The unit ids are those of the table.
    """

    recording: BaseRecording
    sorting: BaseSorting | None


def to_spikeinterface(
    path: Path | str, step: str | None = None, *, recording: str | None = None
) -> SpikeInterfaceSession:
    """Return a recording, and the units that a step found in it, for SpikeInterface.

    A `SortingAnalyzer` is ``spikeinterface.create_sorting_analyzer(sorting, recording)``; one with the preprocessed
    recording, as it was sorted, is written by ``export_units(…, to="analyzer")``.

    Parameters
    ----------
    path : path
        A session file, or its address (``s3://…``).
    step : str, optional
        The step that found, loaded or curated the units; ``"units"`` for the units of the session (``/units``).
        Without it there is the recording alone.
    recording : str, optional
        Name or path of the `ElectricalSeries`; by default the one that the step read, or the only one of the file.

    Returns
    -------
    SpikeInterfaceSession

    Raises
    ------
    UnknownNameError
        If the file has no units of that step, or no such series.
    InputError
        If the file has several recordings, and none was named; or a unit fires outside of the recording.
    ToolMissingError
        If SpikeInterface is not installed.
    """
    import_library("spikeinterface")
    from nwbpipe.export._series_recording import SeriesRecording

    session = SessionFile.at(path)

    def read(reader: SessionReader) -> SpikeInterfaceSession:
        series = _find_recording(reader, step, recording, str(session))
        traces = SeriesRecording(str(session.location), series.path)
        if step is None:
            return SpikeInterfaceSession(traces, None)
        units = _find_units(reader, step, str(session))
        return SpikeInterfaceSession(traces, _make_sorting(reader, units, series, traces))

    return session.read(read)


def _find_units(reader: SessionReader, step: str, where: str) -> str:
    if step == _UNITS and _UNITS in reader.file:
        return "/units"
    record = find_current_record(reader.records, step)
    for output in record.outputs if record is not None else ():
        if output.neurodata_type == "Units" and output.path in reader.file:
            return str(output.path)
    msg = f"the file has no units of a step {step!r}"
    raise UnknownNameError(msg, where=where, found=step, hint="`nwbpipe log FILE.nwb` shows the runs")


def _find_recording(reader: SessionReader, step: str | None, name: str | None, where: str) -> Series:
    listed = list_series(reader)
    if name is None:
        name = _find_sorted_series(reader, step)
    if name is not None:
        candidates = list(select_series(listed, [name], where).values())
    else:
        lineages = {item.path: item.lineage for item in reader.objects}
        candidates = [
            series
            for series in listed.series.values()
            if "ElectricalSeries" in lineages[series.path] and series.path.startswith("/acquisition/")
        ]
    if len(candidates) != 1 or len(candidates[0].shape) > 2:
        raise InputError(
            "the recording is not known",
            where=where,
            expected="one ElectricalSeries",
            found=", ".join(series.path for series in candidates) or "none",
            hint="name it: recording='acquisition/ElectricalSeries'",
        )
    return candidates[0]


def _find_sorted_series(reader: SessionReader, step: str | None) -> str | None:
    """Return the path of the series that the units of a step were found in, or were curated from."""
    record = find_current_record(reader.records, step) if step is not None else None
    for _ in range(len(reader.records)):
        if record is None:
            return None
        named = next((item.path for item in record.inputs if item.name == "recording"), None)
        if named is not None:
            return str(named)
        source = next((item.path for item in record.inputs if item.neurodata_type == "Units"), None)
        runs = [run for run in reader.records if not run.superseded]
        record = next((run for run in runs if any(output.path == source for output in run.outputs)), None)
    return None


def _make_sorting(reader: SessionReader, path: str, series: Series, recording: Any) -> Any:
    from spikeinterface.core import NumpySorting

    group: h5py.Group = reader.file[path]
    if "spike_times_index" not in group:
        raise InputError("the units have no spike times", where=path)
    ends = np.asarray(group["spike_times_index"][()], dtype=np.int64)
    starts = np.concatenate(([0], ends[:-1]))
    ids = np.asarray(group["id"][()])
    spikes = np.asarray(group["spike_times"][()], dtype=np.float64)
    samples = _find_nearest_samples(reader, series, spikes)
    if len(samples) and (samples.min() < 0 or samples.max() >= series.times.count):
        raise InputError(
            "spikes lie outside of the recording",
            where=path,
            expected=f"times within those of {series.path}",
            found=f"{spikes.min():.6g} to {spikes.max():.6g} s",
            hint="name the recording that the units were found in",
        )
    units = {unit: np.sort(samples[first:last]) for unit, first, last in zip(ids, starts, ends, strict=True)}
    sorting = NumpySorting.from_unit_dict([units], recording.get_sampling_frequency())
    columns, _ = read_columns(group, without=("spike_times",))
    for name, values in columns.items():
        if name != "id" and isinstance(values, np.ndarray) and values.ndim == 1:
            sorting.set_property(name, values.astype(str) if values.dtype.kind == "O" else values)
    sorting.register_recording(recording)
    return sorting


def _find_nearest_samples(reader: SessionReader, series: Series, spikes: NDArray[np.float64]) -> NDArray[np.int64]:
    times = series.times
    if times.path is None:
        assert times.rate is not None
        return np.rint((spikes - (times.start or 0.0)) * times.rate).astype(np.int64)
    stamps = times.read(reader.file)
    right = np.clip(np.searchsorted(stamps, spikes), 1, len(stamps) - 1)
    nearest = np.where(spikes - stamps[right - 1] <= stamps[right] - spikes, right - 1, right)
    half = float(np.median(np.diff(stamps))) / 2 * (1 + 1e-6)
    outside = (spikes < stamps[0] - half) | (spikes > stamps[-1] + half)
    return np.where(outside, -1, nearest).astype(np.int64)
