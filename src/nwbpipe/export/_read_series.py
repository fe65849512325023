"""Describe the time series of a session file with h5py: their values, times and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nwbpipe.catalog import decode
from nwbpipe.errors import UnknownNameError
from nwbpipe.session import NwbObject, SessionReader

Floats = NDArray[np.float64]

_REGIONS = {"electrodes": "electrode", "rois": "roi", "fiber_photometry_table_region": "fiber"}
_ROOTS = (
    "acquisition/",
    "stimulus/presentation/",
    "stimulus/templates/",
    "analysis/",
    "intervals/",
    "events/",
    "processing/",
)


@dataclass(frozen=True)
class Times:
    """Times of the samples of a series, in seconds on the session's reference clock.

    Attributes
    ----------
    count : int
        Number of samples.
    rate, start : float or None
        Samples per second (Hz), and time of the first one (s); None if each sample has a time of its own.
    path : str or None
        The dataset with the time of each sample.
    grid : tuple
        Equal for two series with the same times: the numbers above, or where the file keeps the dataset.
    """

    count: int
    rate: float | None
    start: float | None
    path: str | None
    grid: tuple[Any, ...]

    @property
    def ends(self) -> tuple[int, ...]:
        """Numbers of the first and the last sample."""
        return (0, self.count - 1)

    def read(self, file: h5py.File, first: int = 0, stop: int | None = None) -> Floats:
        """Return the times of some samples, shape (n_samples,)."""
        stop = self.count if stop is None else stop
        if self.path is None:
            assert self.rate is not None
            return (self.start or 0.0) + np.arange(first, stop) / self.rate
        return np.asarray(file[self.path][first:stop], dtype=np.float64)

    def find_samples(self, file: h5py.File, window: tuple[float, float] | None) -> tuple[int, int]:
        """Return the first sample of a window of time, and the one after its last; both ends of it belong to it."""
        if window is None:
            return 0, self.count
        if self.path is None:
            assert self.rate is not None
            first, last = ((time - (self.start or 0.0)) * self.rate for time in window)
            low, high = int(np.ceil(first - 1e-6)), int(np.floor(last + 1e-6)) + 1
        else:
            times = self.read(file)
            low, high = int(np.searchsorted(times, window[0])), int(np.searchsorted(times, window[1], side="right"))
        low = min(max(low, 0), self.count)
        return low, min(max(high, low), self.count)


@dataclass(frozen=True)
class Axis:
    """What the columns of a series are.

    Attributes
    ----------
    name : str
        Such as ``roi``, ``electrode`` or ``channel``.
    labels : ndarray, shape (n_columns,)
        Identifiers of the rows of a table, or the numbers of the columns.
    table : str or None
        Path of the table.
    columns : mapping of str to ndarray
        More about each, from the table.
    """

    name: str
    labels: NDArray[Any]
    table: str | None = None
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Series:
    """A time series of a session file.

    Attributes
    ----------
    path, name, neurodata_type, object_id : str
        `name` is its path without the folders that NWB prescribes, with dots: ``Fluorescence_suite2p.Neuropil``.
    step : str or None
        The step that wrote it.
    data : str
        Path of its values.
    shape : tuple of int
        Samples first.
    dtype : numpy.dtype
        Of the values as they are stored.
    times : Times
    axes : tuple of Axis
        One for each further dimension.
    unit, description : str
        The unit that the values have after conversion.
    scale : float or ndarray, shape (n_columns,)
        Value in that unit = stored value * `scale` + `offset`.
    offset : float
    confidence : str or None
        Path of the confidence of each sample (poses).
    """

    path: str
    name: str
    neurodata_type: str
    object_id: str
    step: str | None
    data: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    times: Times
    axes: tuple[Axis, ...]
    unit: str
    description: str
    scale: Any
    offset: float
    confidence: str | None
    is_image: bool

    @property
    def is_converted(self) -> bool:
        """True if the stored values have to be scaled."""
        return bool(np.any(np.asarray(self.scale) != 1.0)) or self.offset != 0.0

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class SeriesList:
    """The series of a session file, by name, and why others are not among them."""

    series: dict[str, Series]
    left_out: dict[str, str]


def list_series(reader: SessionReader) -> SeriesList:
    """Describe all series whose values can be read as arrays."""
    steps = {
        output.path: record.step for record in reader.records if not record.superseded for output in record.outputs
    }
    described: list[Series] = []
    left_out: dict[str, str] = {}
    for item in reader.objects:
        if "TimeSeries" not in item.lineage:
            continue
        series = _describe(reader.file, item, _find_step(steps, item.path))
        if isinstance(series, str):
            left_out[item.path] = series
        else:
            described.append(series)
    by_path = {series.path: series for series in described}
    return SeriesList({name: by_path[path] for name, path in name_paths(by_path).items()}, left_out)


def select_series(listed: SeriesList, patterns: Sequence[str], where: str) -> dict[str, Series]:
    """Return the series that patterns name: by name, by path or by the last part of either.

    Raises
    ------
    UnknownNameError
        If a pattern names none.
    """
    selected: dict[str, Series] = {}
    for pattern in patterns:
        matches = {
            name: series
            for name, series in listed.series.items()
            if is_named(pattern, name, series.path.lstrip("/"), series.path.rpartition("/")[2])
        }
        if not matches:
            reason = next((text for path, text in listed.left_out.items() if fnmatchcase(path, f"*{pattern}")), None)
            msg = f"the file has no series {pattern!r}" if reason is None else f"the series can't be read: {reason}"
            names = ", ".join(listed.series) or "(none)"
            raise UnknownNameError(msg, where=where, expected=f"one of {names}", found=pattern)
        selected |= matches
    return selected


def is_named(pattern: str, *names: str) -> bool:
    """Return True if a pattern fits one of these names, or is one itself: ``lines[0]`` is a name, too."""
    pattern = pattern.lstrip("/")
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)


def _find_step(steps: Mapping[str, str], path: str) -> str | None:
    while path:
        if path in steps:
            return steps[path]
        path = path.rpartition("/")[0]
    return None


def _describe(file: h5py.File, item: NwbObject, step: str | None) -> Series | str:
    """Return what is known of a series, or why its values can't be read."""
    group = file[item.path]
    if not isinstance(group, h5py.Group):
        return "it is not a group"
    data = _own_dataset(group, "data")
    if data is None or not data.shape:
        return "its data are in another file" if "external_file" in group or "data" in group else "it has no data"
    if 0 in data.shape:
        return "its data are in an external file" if "external_file" in group else "it has no samples"
    if data.dtype.kind not in "fiub" or h5py.check_enum_dtype(data.dtype) not in (None, {"FALSE": 0, "TRUE": 1}):
        return "its values are not numbers"
    times = _describe_times(group, int(data.shape[0]))
    if isinstance(times, str):
        return times
    confidence = _own_dataset(group, "confidence")
    scale: Any = float(data.attrs.get("conversion", 1.0))
    channels = _own_dataset(group, "channel_conversion")
    if channels is not None and data.ndim > 1 and channels.shape == (data.shape[1],):
        scale = scale * np.asarray(channels[()], dtype=np.float64)
    return Series(
        path=item.path,
        name=shorten_path(item.path),
        neurodata_type=item.neurodata_type,
        object_id=item.object_id,
        step=step,
        data=f"{item.path}/data",
        shape=tuple(int(size) for size in data.shape),
        dtype=data.dtype,
        times=times,
        axes=tuple(_describe_axes(file, group, item, data)),
        unit=str(decode(data.attrs.get("unit", ""))),
        description=str(decode(group.attrs.get("description", ""))),
        scale=scale,
        offset=float(data.attrs.get("offset", 0.0)),
        confidence=f"{item.path}/confidence" if confidence is not None and len(confidence) == len(data) else None,
        is_image="ImageSeries" in item.lineage,
    )


def _describe_times(group: h5py.Group, count: int) -> Times | str:
    stamps, start = _own_dataset(group, "timestamps"), _own_dataset(group, "starting_time")
    if stamps is not None:
        if stamps.shape != (count,):
            return f"it has {stamps.shape[0] if stamps.shape else 0} times for {count} samples"
        address = int(h5py.h5o.get_info(stamps.id).addr)  # that of the dataset that a link leads to
        return Times(count, None, None, f"{group.name}/timestamps", ("timestamps", address))
    if start is None or not float(start.attrs.get("rate", 0.0)) > 0:
        return "it has neither times nor a rate"
    rate, first = float(start.attrs["rate"]), float(start[()])
    return Times(count, rate, first, None, ("rate", first, rate, count))


def _describe_axes(file: h5py.File, group: h5py.Group, item: NwbObject, data: h5py.Dataset) -> Iterator[Axis]:
    sizes = [int(size) for size in data.shape[1:]]
    if "ImageSeries" in item.lineage:
        names = ("x", "y", "z") if len(sizes) <= 2 or sizes[-1] > 4 else ("x", "y", "color")
        yield from (Axis(name, np.arange(size)) for name, size in zip(names, sizes, strict=False))
        sizes = sizes[3:]
    elif sizes:
        yield _describe_columns(file, group, item, sizes[0])
        sizes = sizes[1:]
        if sizes and "DecompositionSeries" in item.lineage and "bands/band_name" in group:
            bands = np.asarray(group["bands/band_name"].asstr()[()], dtype=object)
            if len(bands) == sizes[0]:
                yield Axis("band", bands)
                sizes = sizes[1:]
    yield from (Axis(f"axis_{number}", np.arange(size)) for number, size in enumerate(sizes, 2))


def _describe_columns(file: h5py.File, group: h5py.Group, item: NwbObject, size: int) -> Axis:
    for name, axis in _REGIONS.items():
        region = _own_dataset(group, name) or _own_dataset(group, f"source_{name}")
        if region is None or region.shape != (size,):
            continue
        reference = region.attrs.get("table")
        table = file[reference] if isinstance(reference, h5py.Reference) and reference else None
        if not isinstance(table, h5py.Group) or not isinstance(table.get("id"), h5py.Dataset):
            continue
        rows, ids = np.asarray(region[()], dtype=np.int64), table["id"][()]
        if not np.all((rows >= 0) & (rows < len(ids))) or len(set(rows.tolist())) < size:
            continue
        return Axis(axis, ids[rows], table.name, dict(_read_table_columns(table, rows)))
    if {"SpatialSeries", "PoseEstimationSeries"} & item.lineage and size <= 3:
        return Axis("axis", np.array(["x", "y", "z"][:size], dtype=object))
    return Axis("channel", np.arange(size))


def _read_table_columns(table: h5py.Group, rows: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the columns of a table that have a number or a text for each row."""
    for name in map(str, decode(table.attrs.get("colnames", ()))):
        dataset = _own_dataset(table, name)
        if dataset is None or dataset.shape != table["id"].shape or f"{name}_index" in table:
            continue
        if h5py.check_string_dtype(dataset.dtype) is not None:
            yield name, np.asarray(dataset.asstr(errors="replace")[()], dtype=object)[rows]
        elif dataset.dtype.kind in "fiub" and "elements" not in dataset.attrs:
            yield name, np.asarray(dataset[()])[rows]


def _own_dataset(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """Return a dataset of a group; None if it lacks it, or if it is in another file."""
    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        return None
    dataset = group.get(name)
    return dataset if isinstance(dataset, h5py.Dataset) and dataset.shape is not None else None


def name_paths(paths: Iterable[str]) -> dict[str, str]:
    """Return paths by their short names; those that would share one by the whole path, with dots."""
    short_names = {path: shorten_path(path) for path in paths}
    counts = Counter(short_names.values())
    return {
        name if counts[name] == 1 else path.strip("/").replace("/", "."): path for path, name in short_names.items()
    }


def shorten_path(path: str) -> str:
    """Return the path of an object without the folders that NWB prescribes, with dots."""
    short = path.strip("/")
    for root in _ROOTS:
        if short.startswith(root):
            short = short.removeprefix(root)
            short = short.partition("/")[2] if root == "processing/" else short
            break
    return short.replace("/", ".")
