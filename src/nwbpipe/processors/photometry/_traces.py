"""Read the traces of a photometry series, and add series to the session file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    from pynwb import NWBFile

    from nwbpipe.processors._base import Context

SERIES = "FiberPhotometryResponseSeries"


@dataclass(frozen=True)
class FiberRow:
    """One row of the file's `FiberPhotometryTable`."""

    index: int
    fiber: str
    detector: str
    location: str
    excitation_nm: float
    emission_nm: float
    drive: Any

    @property
    def label(self) -> str:
        """The trace in words: where, and in which light."""
        return f"{self.fiber} ({self.location}), {self.excitation_nm:g}/{self.emission_nm:g} nm"


def column_count(series: Any) -> int:
    """Number of columns of a series' data."""
    return 1 if len(series.data.shape) == 1 else int(series.data.shape[1])


def rows_of(series: Any) -> list[FiberRow]:
    """Return the rows of the table that a series refers to; none if it refers to no table."""
    region = getattr(series, "fiber_photometry_table_region", None)
    if region is None:
        return []
    table = region.table
    names = set(table.colnames)
    return [
        FiberRow(
            index=int(row),
            fiber=str(table["optical_fiber"][int(row)].name),
            detector=str(table["photodetector"][int(row)].name),
            location=str(table["location"][int(row)]),
            excitation_nm=float(table["excitation_wavelength_in_nm"][int(row)]),
            emission_nm=float(table["emission_wavelength_in_nm"][int(row)]),
            drive=table["commanded_voltage_series"][int(row)] if "commanded_voltage_series" in names else None,
        )
        for row in region.data[:]
    ]


def trace_rows(series: Any, path: str) -> list[FiberRow] | None:
    """Return the row of each column of a series, or None if it refers to no table.

    Raises
    ------
    InputError
        If the table has another number of rows for it than it has columns.
    """
    rows = rows_of(series)
    if not rows:
        return None
    if len(rows) != column_count(series):
        msg = "the series does not have one column a row of its table region"
        raise InputError(
            msg,
            where=path,
            expected=f"{len(rows)} columns: {'; '.join(row.label for row in rows)}",
            found=str(column_count(series)),
            hint="a raw recording in which carriers share detectors is demodulated first",
        )
    return rows


def labels(series: Any, path: str) -> list[str]:
    """Return each column's trace in words."""
    rows = trace_rows(series, path)
    if rows is None:
        count = column_count(series)
        return [series.name] if count == 1 else [f"{series.name}, column {k}" for k in range(count)]
    return [row.label for row in rows]


def check_times(series: Any, path: str, *, least: int = 2) -> None:
    """Refuse a series without samples or times.

    Raises
    ------
    InputError
    """
    if series.data.shape[0] < least:
        msg = "the series holds too few samples"
        raise InputError(msg, where=path, expected=f"{least} or more", found=str(series.data.shape[0]))
    if series.rate is None and series.timestamps is None:
        msg = "the series has neither a rate nor timestamps"
        raise InputError(msg, where=path, hint="convert it again with one of them")


def rate_text(series: Any) -> str:
    """Sampling rate of a series in words."""
    if series.rate is not None:
        return f"{series.rate:g} Hz"
    return f"{1 / float(np.median(np.diff(series.timestamps[:10_000]))):.4g} Hz (median; see the timestamps)"


def add_series(
    nwbfile: NWBFile,
    context: Context,
    name: str,
    like: Any,
    data: npt.NDArray[np.float64],
    *,
    columns: list[int] | None = None,
    rows: list[int] | None = None,
    times: dict[str, Any] | None = None,
    unit: str,
    description: str,
) -> Any:
    """Add a series of traces to the module ``ophys``.

    Parameters
    ----------
    nwbfile, context
        As in `Processor.write`.
    name : str
        Standard name; the step's is appended.
    like : FiberPhotometryResponseSeries
        Whose type, times and table it gets.
    data : ndarray, shape (samples, traces)
        One column is written as one dimension.
    columns : list of int, optional
        Column of `like` that each trace comes from, whose row of the table it keeps.
    rows : list of int, optional
        Row of the table of each trace, in place of `columns`; an empty list: no table is referred to.
    times : dict, optional
        Rate and starting time, or timestamps; those of `like` by default.
    unit, description : str
        Of the series.
    """
    from hdmf.common import DynamicTableRegion

    from nwbpipe.nwb_builders import Times

    region = getattr(like, "fiber_photometry_table_region", None)
    more: dict[str, Any] = {}
    if region is not None and rows != []:
        region_rows = (
            rows if rows is not None else [int(region.data[k]) for k in columns or range(column_count(like))]
        )
        more["fiber_photometry_table_region"] = DynamicTableRegion(
            name="fiber_photometry_table_region",
            data=region_rows,
            description="the row of each trace",
            table=region.table,
        )
    series = type(like)(
        name=context.name(name),
        description=description,
        data=data[:, 0] if data.shape[1] == 1 else data,
        unit=unit,
        **(times or Times.of(like).arguments()),
        **more,
    )
    context.module(nwbfile, "ophys").add(series)
    return series
