"""Series of a session as labelled arrays of xarray: a Dataset for each grid of times."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.catalog import decode
from nwbpipe.export._libraries import import_library
from nwbpipe.export._read_series import Axis, Series, list_series, select_series
from nwbpipe.export._stored_array import StoredArray
from nwbpipe.session import SessionFile, SessionReader

if TYPE_CHECKING:
    import xarray

_MOST_TIMES = 2**24  # of two series that are compared with each other
# xarray takes arrays with these units, read from a file, for durations.
_UNITS = {"days": "d", "hours": "h", "minutes": "min", "seconds": "s", "milliseconds": "ms", "microseconds": "us"}
TIME_ATTRIBUTES = {"units": "s", "long_name": "time on the session's reference clock"}
_SESSION = ("session_start_time", "session_description", "session_id", "identifier")


def to_xarray(
    path: Path | str,
    *,
    series: Sequence[str] | None = None,
    window: tuple[float, float] | None = None,
) -> xarray.DataTree:
    """Return the series of a session file as labelled arrays.

    Series that share their times stand in one `xarray.Dataset`, those of another clock or rate in another: nothing is
    resampled. The values stay in the file until they are asked for.

    Parameters
    ----------
    path : path
        A session file, or its address (``s3://…``).
    series : sequence of str, optional
        Names, paths or patterns (``Fluorescence_suite2p.*``, ``pupil_area``); by default all.
    window : tuple of float, optional
        First and last time, in seconds.

    Returns
    -------
    xarray.DataTree
        A node for each grid of times, named after a series on it, the raw one if there is one. Its variables have the
        dimension ``time`` (float64, seconds on the session's reference clock) and one for each further axis, with the
        ids of the ROIs, electrodes or fibers as labels, and what else their table says as coordinates. Attributes:
        ``units``, ``description``, ``path``, ``step``; of the tree: subject, session, and ``left_out`` (JSON: the
        series that are not there, and why).

    Raises
    ------
    UnknownNameError
        If the file has no series of a name.
    ToolMissingError
        If xarray is not installed.

    Notes
    -----
    Poses come with ``<name>.confidence``. Spike times are no samples: see `to_pynapple` and `align`.
    """
    import_library("xarray")
    session = SessionFile.at(path)
    return session.read(lambda reader: build_tree(session, reader, series, window))


def write_netcdf(
    session: SessionFile,
    reader: SessionReader,
    out: Path,
    paths: Sequence[str],
    window: tuple[float, float] | None,
) -> None:
    """Write the tree of `to_xarray` to a new file."""
    import_library("xarray")
    import_library("h5netcdf")
    build_tree(session, reader, paths, window).to_netcdf(out, engine="h5netcdf")


def build_tree(
    session: SessionFile,
    reader: SessionReader,
    patterns: Sequence[str] | None,
    window: tuple[float, float] | None,
) -> xarray.DataTree:
    """Return the tree of `to_xarray` from the open file."""
    import xarray

    listed = list_series(reader)
    chosen = listed.series if patterns is None else select_series(listed, patterns, str(session))
    left_out = listed.left_out if patterns is None else {}
    nodes = {}
    counts = {series.times.count for series in chosen.values()}
    # Those that are not chosen, too: a grid is named after the raw series on it.
    candidates = {name: series for name, series in listed.series.items() if series.times.count in counts}
    for names in _group_by_times(reader, candidates):
        members = {name: chosen[name] for name in names if name in chosen}
        if members:
            raw = [name for name in names if listed.series[name].path.startswith("/acquisition/")]
            nodes[(raw or names)[0]] = _build_dataset(session, reader, members, window)
    attributes = describe_session(reader) | {"left_out": json.dumps(left_out)}
    return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=attributes), **nodes})


def describe_session(reader: SessionReader) -> dict[str, str]:
    """Return the texts that say which session a file is of."""
    file = reader.file
    texts = {name: file.get(name, file.get(f"general/{name}")) for name in _SESSION}
    texts["subject_id"] = file.get("general/subject/subject_id")
    return {name: str(decode(item[()])) for name, item in texts.items() if item is not None}


def name_session(texts: Mapping[str, str], session: SessionFile) -> str:
    """Return the name of a session's node: its keys, as in DANDI's layout."""
    keys = (texts.get("subject_id", "unknown"), texts.get("session_id", session.name))
    return "sub-{}_ses-{}".format(*(key.replace("/", "-") for key in keys))


def _group_by_times(reader: SessionReader, series_by_name: Mapping[str, Series]) -> list[list[str]]:
    """Return the names of the series with the same times; of two datasets of times the values count."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, series in series_by_name.items():
        groups.setdefault(series.times.grid, []).append(name)
    merged: list[list[str]] = []
    grids: dict[int, list[tuple[Any, list[str]]]] = {}
    for names in groups.values():
        times = series_by_name[names[0]].times
        if times.path is None or times.count > _MOST_TIMES:
            merged.append(names)
            continue
        values = times.read(reader.file)
        same = next(
            (
                grid_names
                for grid_times, grid_names in grids.get(times.count, [])
                if np.array_equal(grid_times, values)
            ),
            None,
        )
        if same is not None:
            same += names
            continue
        grids.setdefault(times.count, []).append((values, names))
        merged.append(names)
    return merged


def _build_dataset(
    session: SessionFile,
    reader: SessionReader,
    members: Mapping[str, Series],
    window: tuple[float, float] | None,
) -> xarray.Dataset:
    """Return the series of one grid of times."""
    import xarray

    times = next(iter(members.values())).times
    first, stop = times.find_samples(reader.file, window)
    dimensions, coordinates = name_axes({name: series.axes for name, series in members.items()})
    coordinates["time"] = ("time", times.read(reader.file, first, stop), TIME_ATTRIBUTES)
    variables: dict[str, Any] = {}
    for name, series in members.items():
        dims = ["time", *dimensions[name]]
        attributes = {
            "units": _UNITS.get(series.unit, series.unit),
            "description": series.description,
            "path": series.path,
            "neurodata_type": series.neurodata_type,
            "object_id": series.object_id,
            "step": series.step or "",
        }
        values = StoredArray(session, series, first, stop)
        variables[name] = xarray.Variable(dims, make_lazy(values), attributes)
        if series.confidence is not None:
            confidence = StoredArray(session, series, first, stop, confidence=True)
            text = {"units": "1", "description": "confidence of each sample", "path": series.confidence}
            variables[f"{name}.confidence"] = xarray.Variable(["time"], make_lazy(confidence), text)
    return xarray.Dataset(variables, coordinates)


def _identify(axis: Axis) -> tuple[Any, ...]:
    return (axis.name, axis.table, axis.labels.dtype.kind, tuple(axis.labels.tolist()))


def name_axes(axes: Mapping[str, Sequence[Axis]]) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Name the dimensions of a Dataset: two sets of ROIs are two of them, each called after its table.

    Parameters
    ----------
    axes : mapping of str to sequence of Axis
        Axes of each variable, by its name, without that of the time.

    Returns
    -------
    dimensions : dict of str to list of str
        Their names, by variable.
    coordinates : dict
        Labels of the dimensions, and what else their tables say, as xarray takes them.
    """
    owners: dict[tuple[Any, ...], tuple[Axis, str]] = {}
    for variable, parts in axes.items():
        for axis in parts:
            owners.setdefault(_identify(axis), (axis, variable))
    names: dict[tuple[Any, ...], str] = {}
    coordinates: dict[str, Any] = {}
    for key, (axis, variable) in owners.items():
        alone = sum(candidate.name == axis.name for candidate, _ in owners.values()) == 1
        owner = axis.table.rpartition("/")[2] if axis.table else variable
        name = axis.name if alone else f"{axis.name}_{owner}"
        while name in names.values():  # parts of one table
            name = f"{axis.name}_{variable}" if name != f"{axis.name}_{variable}" else f"{name}_"
        names[key] = name
        coordinates[name] = (name, axis.labels, {} if axis.table is None else {"table": axis.table})
        for column, cells in axis.columns.items():
            coordinates[f"{name}_{column}"] = (name, cells)
    return {variable: [names[_identify(axis)] for axis in parts] for variable, parts in axes.items()}, coordinates


def make_lazy(values: StoredArray) -> Any:
    """Return an array of xarray that reads its values when they are asked for."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Backend(BackendArray):  # type: ignore[misc]
        def __init__(self) -> None:
            self.shape, self.dtype = values.shape, values.dtype

        def __getitem__(self, key: Any) -> Any:
            support = indexing.IndexingSupport.OUTER_1VECTOR
            return indexing.explicit_indexing_adapter(key, self.shape, support, values.__getitem__)

    return indexing.LazilyIndexedArray(Backend())
