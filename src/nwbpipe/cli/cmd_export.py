"""``nwbpipe export``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._progress import show_progress_bar


class Format(StrEnum):
    """Programs that units are exported for."""

    PHY = "phy"
    ANALYZER = "analyzer"


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE.nwb", help="The session file, or its address (s3://…).")],
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step that found, loaded or curated the units.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    to: Annotated[
        Format, typer.Option(help="phy: Phy's template-gui; analyzer: SpikeInterface's SortingAnalyzer.")
    ] = Format.PHY,
    recording: Annotated[
        str | None, typer.Option(metavar="PATH", help="The ElectricalSeries.  [default: that of the step]")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds after which the tool is stopped.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for the tool.  [default: all cores]")] = None,
) -> None:
    """Write a step's units and their preprocessed recording for Phy or SpikeInterface; `curate` takes them back."""
    from nwbpipe.export import export_units

    with show_progress_bar(f"{step} for {to.value}") as progress:
        written = export_units(
            file,
            step,
            folder,
            to=to.value,
            recording=recording,
            timeout=timeout,
            threads=threads,
            progress=progress,
        )
    echo(f"{step}: {written}")
    if to is Format.PHY:
        echo(f"  afterwards: nwbpipe curate {file} {step} {written} --who NAME")
