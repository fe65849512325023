"""``nwbpipe convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
) -> None:
    """Build one NWB file out of a session's raw files."""
    from nwbpipe.converters import convert as convert_session

    path = convert_session(spec, output, overwrite=overwrite, discard_results=discard_results, stub=stub)
    typer.echo(str(path))
