"""Write the arrays of a session to files of other programs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from nwbpipe.disk import remove_folder
from nwbpipe.errors import OverwriteError, RequestError
from nwbpipe.export._pandas import write_parquet
from nwbpipe.export._read_series import SeriesList, list_series, select_series
from nwbpipe.export._xarray import write_netcdf
from nwbpipe.session import SessionFile, SessionReader

_MOST_VALUES = 2**27  # of a series that is written without being named
_WRITERS: dict[str, Callable[..., None]] = {"parquet": write_parquet, "netcdf": write_netcdf}


def write_arrays(
    path: Path | str,
    out: Path | str,
    *,
    to: Literal["parquet", "netcdf"],
    series: Sequence[str] | None = None,
    window: tuple[float, float] | None = None,
) -> dict[str, str]:
    """Write the tables and series of a session file for programs that don't read NWB.

    Parameters
    ----------
    path : path
        A session file, or its address (``s3://…``).
    out : path
        What is written; it must not exist. For Parquet a folder: ``<table>.parquet`` for each table of `to_pandas`,
        and ``series/<name>.parquet``. For netCDF a file, with a group for each grid of times: see `to_xarray`.
    to : {"parquet", "netcdf"}
    series : sequence of str, optional
        Names, paths or patterns of time series. By default all but movies, and series of more than 2**27 values.
    window : tuple of float, optional
        First and last time of the series, in seconds.

    Returns
    -------
    dict of str to str
        Paths of the series that were left out, and why.

    Raises
    ------
    OverwriteError
        If `out` exists.
    UnknownNameError
        If the file has no series of a name.
    RequestError
        If the window is empty.
    ToolMissingError
        If a library is not installed.
    """
    if window is not None and not window[0] < window[1]:
        msg = "the window is empty"
        raise RequestError(
            msg, expected="a first time and a later one, in seconds", found=f"{window[0]}, {window[1]}"
        )
    session = SessionFile.at(path)

    with new_path(Path(out)) as partial:

        def write(reader: SessionReader) -> dict[str, str]:
            remove_folder(partial)  # of a reading that a commit of another process disturbed
            partial.unlink(missing_ok=True)
            paths, left_out = _choose_series(list_series(reader), series, str(session))
            _WRITERS[to](session, reader, partial, paths, window)
            return left_out

        return session.read(write)


@contextmanager
def new_path(target: Path) -> Iterator[Path]:
    """Yield a path beside a new file or folder, which takes its place at the end.

    Raises
    ------
    OverwriteError
        If the target exists, and is not an empty folder.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise OverwriteError("the output exists", where=str(target), expected="a new name", hint="choose another one")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
    try:
        yield partial
        if target.exists():
            target.rmdir()
        partial.rename(target)
    finally:
        if partial.is_dir():
            remove_folder(partial)
        partial.unlink(missing_ok=True)


def _choose_series(
    listed: SeriesList, patterns: Sequence[str] | None, where: str
) -> tuple[list[str], dict[str, str]]:
    """Return the paths of the series to write, and of those that are left out with the reason."""
    if patterns:
        return [series.path for series in select_series(listed, patterns, where).values()], {}
    left_out = dict(listed.left_out)
    chosen: list[str] = []
    for series in listed.series.values():
        if series.is_image or series.size > _MOST_VALUES:
            kind = "a movie" if series.is_image else f"{series.size:,} values"
            left_out[series.path] = f"{kind}: written if it is named"
        else:
            chosen.append(series.path)
    return chosen, left_out
