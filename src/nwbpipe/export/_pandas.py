"""A session as data frames of pandas, and as Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.catalog import extract_tables
from nwbpipe.export._libraries import import_library
from nwbpipe.export._read_series import Series, list_series, select_series
from nwbpipe.export._stored_array import StoredArray
from nwbpipe.session import SessionFile, SessionReader

if TYPE_CHECKING:
    import pandas as pd


def to_pandas(
    path: Path | str,
    *,
    series: Sequence[str] = (),
    window: tuple[float, float] | None = None,
) -> dict[str, pd.DataFrame]:
    """Return the tables of a session file as data frames.

    Parameters
    ----------
    path : path
        A session file, or its address (``s3://…``).
    series : sequence of str
        Names, paths or patterns of time series to read, too; none by default.
    window : tuple of float, optional
        First and last time of the series, in seconds.

    Returns
    -------
    dict of str to pandas.DataFrame
        The tables of `nwbpipe query` for this file, by name (``trials``, ``units``, ``spike_times``, ``events``, …),
        with ``subject_id`` and ``session_id`` in each row; and each series by its name, in its unit, with
        ``time`` (s) as index and a column for each ROI, electrode or channel, by its id.

    Raises
    ------
    UnknownNameError
        If the file has no series of a name.
    ToolMissingError
        If pandas or pyarrow is not installed.
    """
    import_library("pandas")
    import_library("pyarrow")
    session = SessionFile.at(path)

    def read(reader: SessionReader) -> dict[str, pd.DataFrame]:
        frames: dict[str, pd.DataFrame] = {
            name: table.to_pandas() for name, table in extract_tables(reader, str(session)).items()
        }
        chosen = select_series(list_series(reader), series, str(session))
        for name, described in chosen.items():
            free = name if name not in frames else described.path.strip("/").replace("/", ".")
            frames[free] = _make_frame(session, reader, described, window)
        return frames

    return session.read(read)


def write_parquet(
    session: SessionFile,
    reader: SessionReader,
    folder: Path,
    paths: Sequence[str],
    window: tuple[float, float] | None,
) -> None:
    """Write the tables of a session, and some series, to a new folder."""
    import_library("pandas")
    parquet = import_library("pyarrow.parquet")
    (folder / "series").mkdir(parents=True)
    for name, table in extract_tables(reader, str(session)).items():
        parquet.write_table(table, folder / f"{name}.parquet")
    for name, series in list_series(reader).series.items():
        if series.path in paths:
            _make_frame(session, reader, series, window).to_parquet(folder / "series" / f"{name}.parquet")


def _make_frame(
    session: SessionFile, reader: SessionReader, series: Series, window: tuple[float, float] | None
) -> pd.DataFrame:
    """Return a series as a data frame; what has more than two dimensions has its columns side by side."""
    import pandas as pd

    first, stop = series.times.find_samples(reader.file, window)
    values: Any = StoredArray(session, series, first, stop).read(reader)
    index = pd.Index(series.times.read(reader.file, first, stop), name="time")
    names = _name_columns(series)
    frame = pd.DataFrame(values.reshape(len(values), -1), index=index, columns=names)
    if series.confidence is not None:
        frame["confidence"] = StoredArray(session, series, first, stop, confidence=True).read(reader)
    frame.attrs = {"unit": series.unit, "path": series.path, "step": series.step or ""}
    return frame


def _name_columns(series: Series) -> list[str]:
    """Return a text for each column: its label, or its labels on each axis."""
    if not series.axes:
        return ["value"]
    names = [str(label) for label in series.axes[0].labels]
    for axis in series.axes[1:]:
        names = [f"{name}.{label}" for name in names for label in axis.labels]
    assert len(names) == int(np.prod(series.shape[1:]))
    return names
