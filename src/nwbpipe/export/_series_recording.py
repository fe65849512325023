"""A series of a session file as a recording of SpikeInterface; imported where SpikeInterface is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from probeinterface import Probe
from spikeinterface.core import BaseRecording, BaseRecordingSegment

from nwbpipe.errors import InputError
from nwbpipe.export._read_series import Series, list_series, select_series
from nwbpipe.export._stored_array import StoredArray
from nwbpipe.session import SessionFile, SessionReader


class SeriesRecording(BaseRecording):  # type: ignore[misc]
    """An `ElectricalSeries` in microvolts, float32, with the times of the session.

    Its values are read as they are asked for, also in the processes that SpikeInterface starts.

    Parameters
    ----------
    file : str
        Path or address of the session file.
    path : str
        HDF5 path of the series.
    """

    def __init__(self, file: str, path: str) -> None:
        session = SessionFile.at(file)
        series, times = session.read(lambda reader: _read(reader, path))
        axis = series.axes[0] if series.axes else None
        labels = axis.labels if axis is not None else np.zeros(1, dtype=np.int64)
        rate = series.times.rate if times is None else float(1 / np.median(np.diff(times)))
        BaseRecording.__init__(self, rate, labels, np.float32)
        clock = {"sampling_frequency": rate, "t_start": series.times.start}
        values = StoredArray(session, series, 0, series.times.count)
        self.add_recording_segment(_Segment(values, **(clock if times is None else {"time_vector": times})))
        self.set_channel_gains(1.0)
        self.set_channel_offsets(0.0)
        columns = axis.columns if axis is not None else {}
        self._place_contacts(columns, len(labels))
        for name, column in columns.items():
            self.set_property(name, column.astype(str) if column.dtype.kind == "O" else column)
        self._kwargs = {"file": file, "path": path}

    def _place_contacts(self, columns: Any, count: int) -> None:
        positions = [np.asarray(columns[name], dtype=float) for name in ("rel_x", "rel_y") if name in columns]
        if len(positions) < 2 or not np.all(np.isfinite(positions)):
            return
        probe = Probe(ndim=2, si_units="um")
        probe.set_contacts(np.column_stack(positions), shapes="circle", shape_params={"radius": 5.0})
        probe.set_device_channel_indices(np.arange(count))
        self.set_probe(probe)


class _Segment(BaseRecordingSegment):  # type: ignore[misc]
    def __init__(self, values: StoredArray, **clock: Any) -> None:
        BaseRecordingSegment.__init__(self, **clock)
        self._values = values

    def get_num_samples(self) -> int:
        """Return the number of samples of each channel."""
        return len(self._values)

    def get_traces(
        self, start_frame: int | None = None, end_frame: int | None = None, channel_indices: Any = None
    ) -> NDArray[np.float32]:
        """Return the traces in microvolts, shape (samples, channels)."""
        traces = self._values[slice(start_frame, end_frame)]
        traces = traces.reshape(len(traces), -1)
        chosen = slice(None) if channel_indices is None else channel_indices
        return np.asarray(traces[:, chosen] * np.float32(1e6), dtype=np.float32)


def _read(reader: SessionReader, path: str) -> tuple[Series, NDArray[np.float64] | None]:
    """Return a series, and the times of its samples if they are not regular."""
    (series,) = select_series(list_series(reader), [path], reader.file.filename).values()
    if series.times.path is None:
        return series, None
    times = series.times.read(reader.file)
    if len(times) < 2 or not np.all(np.diff(times) > 0):
        msg = "the times of the recording don't increase"
        raise InputError(msg, where=path, hint="convert it again, with a clock whose times are sound")
    return series, times
