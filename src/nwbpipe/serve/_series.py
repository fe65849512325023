"""Read parts of series and videos of a session file for the pages; it runs in the process of `AsideReader`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import RequestError
from nwbpipe.report import PALETTE, Envelope, Plot, find_limits, read_envelope
from nwbpipe.session import NwbObject, SessionFile, SessionReader, find_nwb_object

Floats = NDArray[np.float64]
CHANNELS = 8  # that are drawn at a time
_MOST_LOCAL, _MOST_REMOTE = 32_000_000, 4_000_000  # values that are read for a plot
_MOST_LISTED = 2000
_LONGEST_PATH = 1000


class Series:
    """A time series of an open file, read with h5py alone.

    Attributes
    ----------
    group : h5py.Group
    count : int
        Number of its samples.
    """

    def __init__(self, group: h5py.Group) -> None:
        self.group, self.data = group, group["data"]
        self.timestamps = group.get("timestamps")
        start = group.get("starting_time")
        self.start = 0.0 if start is None else float(start[()])
        self.rate = 1.0 if start is None else float(start.attrs["rate"])
        self.count = int(self.data.shape[0])

    def read_times(self, first: int, last: int) -> Floats:
        """Return the times of some samples, in seconds."""
        if self.timestamps is not None:
            return np.asarray(self.timestamps[first:last], dtype=np.float64)
        return self.start + np.arange(first, last) / self.rate

    @property
    def limits(self) -> tuple[float, float]:
        """Times of the first and the last sample."""
        if not self.count:
            return 0.0, 0.0
        return float(self.read_times(0, 1)[0]), float(self.read_times(self.count - 1, self.count)[0])

    def find_rows(self, start: float, stop: float) -> tuple[int, int]:
        """Return the samples between two times, and one more at each side."""
        if self.timestamps is not None:
            first, last = bisect_left(self.timestamps, start), bisect_right(self.timestamps, stop)
        else:
            first, last = (int(np.clip((time - self.start) * self.rate, -1, self.count)) for time in (start, stop))
        return max(0, first - 1), min(self.count, last + 2)


class _Window:
    """A part of a series, as `read_envelope` takes one."""

    def __init__(self, series: Series, rows: tuple[int, int], channels: tuple[int, int]) -> None:
        data, group = series.data, series.group
        self.data = _Part(data, rows, channels)
        self.timestamps = None if series.timestamps is None else series.read_times(*rows)
        self.rate, self.starting_time = series.rate, series.start + rows[0] / series.rate
        self.conversion, self.offset = (float(data.attrs.get(name, default)) for name, default in _SCALE.items())
        gains = group.get("channel_conversion")
        self.channel_conversion = None if gains is None else gains[slice(*channels)]


_SCALE = {"conversion": 1.0, "offset": 0.0}


class _Part:
    def __init__(self, data: h5py.Dataset, rows: tuple[int, int], channels: tuple[int, int]) -> None:
        self._data, self._rows, self._channels = data, rows, channels
        self.shape = (rows[1] - rows[0], channels[1] - channels[0])

    def __getitem__(self, key: Any) -> Any:
        rows = key[0] if isinstance(key, tuple) else key
        first, last = (self._rows[0] + int(edge) for edge in (rows.start, rows.stop))
        if self._data.ndim == 1:
            return self._data[first:last][:, None]
        return self._data[first:last, slice(*self._channels)]


def list_series(location: str) -> list[dict[str, Any]]:
    """Return the series of a file that can be drawn as lines: path, number of samples and channels."""

    def read(reader: SessionReader) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = []
        for item in reader.objects:
            data = _find_lines(reader.file, item)
            if data is not None and len(listed) < _MOST_LISTED:
                channels = 1 if data.ndim == 1 else int(data.shape[1])
                listed.append({"path": item.path, "samples": int(data.shape[0]), "channels": channels})
        return listed

    return SessionFile.at(location).read(read)


def _find_lines(file: h5py.File, item: NwbObject | None) -> h5py.Dataset | None:
    if item is None or "TimeSeries" not in item.lineage or "ImageSeries" in item.lineage:
        return None
    data = file[item.path].get("data")
    if (
        not isinstance(data, h5py.Dataset)
        or data.ndim not in (1, 2)
        or data.dtype.kind not in "biuf"
        or not data.size
    ):
        return None
    return data


def read_window(
    file: h5py.File, path: str, start: float | None, stop: float | None, first: int, most: int
) -> tuple[Envelope, dict[str, Any]]:
    """Return the least and greatest values of a part of a series, and which part it is.

    Parameters
    ----------
    file : h5py.File
    path : str
        The series.
    start, stop : float or None
        Seconds; None for its own. The part ends earlier where it would take more values than `most`.
    first : int
        The first channel of at most `CHANNELS`.
    most : int
        Values that may be read.

    Raises
    ------
    RequestError
        If there is no such series.
    """
    if len(path) > _LONGEST_PATH or _find_lines(file, find_nwb_object(file, path)) is None:
        raise RequestError("the file has no such series", found=path[:_LONGEST_PATH])
    series = Series(file[path])
    limits = series.limits
    low, high = limits[0] if start is None else start, limits[1] if stop is None else stop
    if not (np.isfinite([low, high]).all() and low < high):
        low, high = limits
    rows = series.find_rows(low, high)
    row = int(np.prod(series.data.shape[1:], dtype=np.int64)) or 1
    is_cut = (rows[1] - rows[0]) * row > most
    if is_cut:
        rows = rows[0], rows[0] + max(2, most // row)
        high = float(series.read_times(rows[1] - 1, rows[1])[0])
    count = 1 if series.data.ndim == 1 else int(series.data.shape[1])
    first = min(max(0, first), count - 1)
    window = _Window(series, rows, (first, min(count, first + CHANNELS)))
    stamps = window.timestamps
    if stamps is not None and not (np.isfinite(limits).all() and (np.diff(stamps) >= 0).all()):
        raise RequestError("the time stamps of the series do not rise, or are not numbers", where=path)
    unit = series.data.attrs.get("unit", "")
    unit = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit)
    about = {
        "start": low, "stop": high, "whole": list(limits), "first": first, "channels": count, "is_cut": is_cut,
        "samples": rows[1] - rows[0], "unit": unit,
    }  # fmt: skip
    return read_envelope(window), about


def draw_series(location: str, path: str, start: float | None, stop: float | None, first: int) -> dict[str, Any]:
    """Return a plot of a part of a series as SVG, and which part it is; see `read_window`."""
    session = SessionFile.at(location)
    most = _MOST_LOCAL if session.is_local else _MOST_REMOTE
    envelope, about = session.read(lambda reader: read_window(reader.file, path, start, stop, first, most))
    inside = (envelope.times >= about["start"]) & (envelope.times <= about["stop"])
    inside = inside if inside.sum() > 1 else np.ones_like(inside)
    times = envelope.times[inside]
    plot = Plot(
        (about["start"], about["stop"]), find_limits(envelope.low[inside], envelope.high[inside]), width=1200,
        height=360, x_label="time (s)", y_label=about["unit"], label=f"{path.rpartition('/')[2]} over time",
    )  # fmt: skip
    for column in range(envelope.low.shape[1]):
        color, low, high = PALETTE[column % len(PALETTE)], envelope.low[inside, column], envelope.high[inside, column]
        if np.array_equal(low, high, equal_nan=True):  # a sample each
            plot.line(times, low, color)
        else:
            plot.band(times, low, high, color, 0.75)
    return {**about, "svg": str(plot.render()), "colors": list(PALETTE[: envelope.low.shape[1]])}
