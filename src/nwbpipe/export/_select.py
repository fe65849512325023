"""The data of what a query found: spikes, traces and movies, read from the session files as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.catalog import Catalog
from nwbpipe.errors import RequestError
from nwbpipe.export._align import align
from nwbpipe.export._libraries import import_library
from nwbpipe.export._read_series import Floats, list_series
from nwbpipe.export._spikes import read_point_processes
from nwbpipe.export._xarray import build_tree, describe_session, name_session
from nwbpipe.session import SessionFile, SessionReader

if TYPE_CHECKING:
    import pandas as pd
    import xarray

_TABLES = ("units", "rois", "series")


class Selection:
    """Rows of a catalogue's table, and the data that they are about.

    Parameters
    ----------
    catalog : Catalog
        Of the session files.
    text : str
        A table and a condition: ``"units WHERE firing_rate > 1 AND verdict = 'pass'"``, ``"rois JOIN subjects USING
        (subject_id) WHERE genotype = 'wt'"``, ``"series WHERE type = 'TwoPhotonSeries'"``. The tables are ``units``,
        ``rois`` and ``series``.

    Attributes
    ----------
    table : str
    rows : pyarrow.Table
        The rows, with the ``_location`` of their file.

    Raises
    ------
    RequestError
        If the text is not such a query.
    """

    def __init__(self, catalog: Catalog, text: str) -> None:
        self.table, self.rows = catalog.find_rows(text)
        if self.table not in _TABLES:
            msg = f"rows of {self.table} have no arrays"
            hint = "Project.query returns the rows of each table"
            raise RequestError(msg, where=text, expected="one of " + ", ".join(_TABLES), found=self.table, hint=hint)

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __repr__(self) -> str:
        return f"<Selection of {len(self)} {self.table} in {len(self.files)} files>"

    @property
    def files(self) -> list[str]:
        """The session files that the rows are of."""
        return list(dict.fromkeys(self.rows["_location"].to_pylist()))

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a data frame."""
        return self.rows.to_pandas()

    def spike_times(self) -> list[Floats]:
        """Return the spike times of each unit, in the order of the rows, in seconds.

        Raises
        ------
        RequestError
            If the rows are not units.
        """
        if self.table != "units":
            raise RequestError(f"rows of {self.table} have no spikes", hint="select from units")
        spikes: dict[int, Floats] = {}
        for location, numbers in self._iter_files():
            entries = self.rows.take(numbers).select(["path", "row"]).to_pylist()

            def read(reader: SessionReader, entries: Any = entries) -> list[Floats]:
                tables = {path: read_point_processes(reader, path).times for path in {e["path"] for e in entries}}
                return [tables[entry["path"]][entry["row"]] for entry in entries]

            spikes |= dict(zip(numbers, SessionFile.at(location).read(read), strict=True))
        return [spikes[number] for number in range(len(self))]

    def to_xarray(self, *, window: tuple[float, float] | None = None) -> xarray.DataTree:
        """Return the traces of the ROIs, or the series, as labelled arrays; nothing is read yet.

        Parameters
        ----------
        window : tuple of float, optional
            First and last time, in seconds.

        Returns
        -------
        xarray.DataTree
            A node for each session (``sub-…_ses-…``), in it what `nwbpipe.export.to_xarray` returns: of series these,
            of ROIs all series that have a column for each, with the columns of these ROIs.

        Raises
        ------
        RequestError
            If the rows are units: see `spike_times` and `align`.
        """
        import_library("xarray")
        import xarray

        if self.table == "units":
            raise RequestError("spikes are not samples", hint="use spike_times() or align(…)")
        trees: dict[str, Any] = {}
        for location, numbers in self._iter_files():
            session, paths = SessionFile.at(location), self._list_paths(numbers)

            def read(reader: SessionReader, session: Any = session, paths: Any = paths) -> tuple[str, Any]:
                tree = build_tree(session, reader, _find_series(reader, paths), window)
                return name_session(describe_session(reader), session), tree

            name, tree = session.read(read)
            if name in trees:
                raise RequestError(
                    f"two files are of the session {name}", where=location, hint="leave one of them out"
                )
            nodes = {grid: self._restrict(node.to_dataset(), numbers) for grid, node in tree.children.items()}
            trees[name] = xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=tree.attrs), **nodes})
        return xarray.DataTree.from_dict(trees)

    def align(
        self,
        *,
        around: str,
        window: tuple[float, float],
        bin: float,
        method: str | None = None,
    ) -> xarray.DataTree:
        """Return the spikes, traces or series around a time of each trial; see `nwbpipe.export.align`.

        Parameters
        ----------
        around, window, bin, method
            See `nwbpipe.export.align`.

        Returns
        -------
        xarray.DataTree
            A Dataset for each session, with the selected units, ROIs or series alone.
        """
        import_library("xarray")
        import xarray

        nodes: dict[str, Any] = {}
        for location, numbers in self._iter_files():
            paths = self._list_paths(numbers)
            if self.table == "rois":
                paths = SessionFile.at(location).read(partial(_find_series, paths=paths))
            tree = align([location], around=around, window=window, series=paths, bin=bin, method=method)
            for name, node in tree.children.items():
                if name in nodes:
                    msg = f"two files are of the session {name}"
                    raise RequestError(msg, where=location, hint="leave one of them out")
                nodes[name] = self._restrict(node.to_dataset(), numbers)
        return xarray.DataTree.from_dict(nodes)

    def _iter_files(self) -> Iterator[tuple[str, list[int]]]:
        """Yield each file, and the numbers of its rows."""
        locations = self.rows["_location"].to_pylist()
        for location in self.files:
            yield location, [number for number, name in enumerate(locations) if name == location]

    def _list_paths(self, numbers: Sequence[int]) -> list[str]:
        return sorted(set(self.rows.take(numbers)["path"].to_pylist()))

    def _restrict(self, dataset: xarray.Dataset, numbers: Sequence[int]) -> xarray.Dataset:
        """Leave the columns of the selected rows."""
        if self.table == "series":
            return dataset
        entries = self.rows.take(numbers).select(["path", "id"]).to_pylist()
        for dim in map(str, dataset.dims):
            table = dataset[dim].attrs.get("table") if dim in dataset.coords else None
            if table is not None:
                ids = [entry["id"] for entry in entries if entry["path"] == table]
                dataset = dataset.isel({dim: np.flatnonzero(np.isin(dataset[dim].values, ids))})
        return dataset


def _find_series(reader: SessionReader, paths: Sequence[str]) -> list[str]:
    """Return the paths of series: these, or those with a column for each row of these tables."""
    return [
        series.path
        for series in list_series(reader).series.values()
        if series.path in paths or any(axis.table in paths for axis in series.axes)
    ]
