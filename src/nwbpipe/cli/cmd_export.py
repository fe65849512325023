"""``nwbpipe export``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._progress import show_progress_bar
from nwbpipe.errors import RequestError


class Format(StrEnum):
    """What a session is exported to."""

    PHY = "phy"
    ANALYZER = "analyzer"
    PARQUET = "parquet"
    NETCDF = "netcdf"
    ZARR = "zarr"
    HDF5 = "hdf5"


_OF_UNITS = (Format.PHY, Format.ANALYZER)
_WHOLE = (Format.ZARR, Format.HDF5)


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE.nwb", help="The session file, or its address (s3://…).")],
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[STEP] OUT",
            help="A new file or folder; for phy and analyzer after the step that found, loaded or curated the units.",
        ),
    ],
    to: Annotated[
        Format,
        typer.Option(
            help="phy: Phy's template-gui; analyzer: SpikeInterface's SortingAnalyzer; parquet: tables and "
            "series, a folder; netcdf: series for xarray, a file; zarr: all as NWB-Zarr; hdf5: NWB-Zarr as NWB file."
        ),
    ] = Format.PHY,
    series: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A series, or a pattern of several.  [default: all but movies]"),
    ] = None,
    window: Annotated[
        tuple[float, float] | None, typer.Option(metavar="START STOP", help="Times of the series, in seconds.")
    ] = None,
    recording: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="phy, analyzer: the ElectricalSeries.  [default: that of the step]"),
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds after which the tool is stopped.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for the tool.  [default: all cores]")] = None,
) -> None:
    """Write what a session holds for other programs: units for Phy, tables and series for pandas or xarray."""
    if to not in _OF_UNITS:
        _refuse_options(to, recording=recording, timeout=timeout, threads=threads)
        (out,) = _require_words(words, to, "OUT")
        if to in _WHOLE:
            _refuse_options(to, series=series or None, window=window)
            _write_whole(file, out, to)
            return
        _write_arrays(file, out, to, series, window)
        return
    _refuse_options(to, series=series or None, window=window)
    step, folder = _require_words(words, to, "STEP", "DIR")
    from nwbpipe.export import export_units

    with show_progress_bar(f"{step} for {to.value}") as progress:
        written = export_units(
            file,
            step,
            Path(folder),
            to="phy" if to is Format.PHY else "analyzer",
            recording=recording,
            timeout=timeout,
            threads=threads,
            progress=progress,
        )
    echo(f"{step}: {written}")
    if to is Format.PHY:
        echo(f"  afterwards: nwbpipe curate {file} {step} {written} --who NAME")


def _write_arrays(
    file: Path, out: str, to: Format, series: list[str] | None, window: tuple[float, float] | None
) -> None:
    from nwbpipe.export import write_arrays

    kind = "parquet" if to is Format.PARQUET else "netcdf"
    left_out = write_arrays(file, Path(out), to=kind, series=series or None, window=window)  # type: ignore[arg-type]
    echo(f"{file.name}: {out}")
    for path, reason in left_out.items():
        echo(f"  left out: {path}: {reason}")


def _write_whole(file: Path, out: str, to: Format) -> None:
    from nwbpipe.export import write_hdf5, write_zarr

    external = write_zarr(file, out) if to is Format.ZARR else write_hdf5(file, out)
    echo(f"{file.name}: {out}")
    for name in external:
        echo(f"  not copied: {name}, which belongs beside it")


def _require_words(words: list[str], to: Format, *names: str) -> list[str]:
    if len(words) != len(names):
        expected = f"nwbpipe export FILE.nwb {' '.join(names)} --to {to.value}"
        raise RequestError("the arguments don't fit the format", expected=expected, found=" ".join(words))
    return words


def _refuse_options(to: Format, **options: object) -> None:
    flags = [f"--{name}" for name, value in options.items() if value is not None]
    if flags:
        raise RequestError(f"{', '.join(flags)} does not apply to --to {to.value}", hint="leave it out")
