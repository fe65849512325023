"""``nwbpipe convert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.machine import preload


def convert(
    spec: Annotated[Path, typer.Argument(metavar="SESSION.yaml", help="The session's spec, or its address.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT.nwb", help="Or an address (s3://…).  [default: sub-…_ses-….nwb]"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file, once the new is whole.")
    ] = False,
    discard_results: Annotated[
        bool, typer.Option("--discard-results", help="With --overwrite: replace a file that holds results.")
    ] = False,
    stub: Annotated[
        bool, typer.Option("--stub", help="Convert a short piece of each source, to try a spec.")
    ] = False,
    compression: Annotated[
        str, typer.Option(help="gzip (every reader), zstd (readers need hdf5plugin) or none.")
    ] = "gzip",
    layout: Annotated[
        str, typer.Option(help="paged (few requests over a network) or plain (readers older than HDF5 1.10).")
    ] = "paged",
    memory: Annotated[int, typer.Option(metavar="MB", help="How much of the data to hold in memory.")] = 1024,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Build one NWB file out of a session's raw files, and show what it holds."""
    from nwbpipe.converters import check_draft

    check_draft(spec)  # before NeuroConv is imported, which takes seconds
    preload("neuroconv", "nwbpipe.extensions", "nwbinspector")

    from nwbpipe.converters import ConversionOptions, Storage, convert_session, preview_conversion

    path: Path | str | None = None
    if dry_run:
        summary = preview_conversion(spec, stub=stub)
    else:
        options = ConversionOptions(
            overwrite=overwrite,
            discard_results=discard_results,
            stub=stub,
            storage=Storage.of(compression=compression, layout=layout, memory_mb=memory),
        )
        path, summary = convert_session(spec, output, options, summarize=True)
    if as_json:
        typer.echo(json.dumps({"path": None if path is None else str(path), **summary.as_dict()}, indent=2))
        return
    echo(f"{spec}: would be written" if path is None else str(path))
    for line in summary.lines(notes=False):  # the notes were shown as they arose
        echo(f"  {line}")
