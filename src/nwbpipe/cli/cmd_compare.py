"""``nwbpipe compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nwbpipe.cli._echo import echo

if TYPE_CHECKING:
    from nwbpipe.review import Comparison


def compare(
    words: Annotated[
        list[str],
        typer.Argument(metavar="FILE.nwb... STEP...", help="Session files, then steps with imaging results."),
    ],
    figure: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the comparison into a file.")] = None,
    passed_only: Annotated[
        bool, typer.Option("--passed-only", help="Leave out ROIs that fail, by the verdicts in the file.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare imaging steps with each other, and with the truth of a simulated file; of one session or several."""
    from nwbpipe.review import compare as compare_steps

    files = [Path(word) for word in words if word.endswith(".nwb")]
    steps = [word for word in words if not word.endswith(".nwb")]
    if not files:
        raise typer.BadParameter("name a session file (….nwb) first", param_hint="FILE.nwb")
    if figure is not None and len(files) > 1:
        raise typer.BadParameter("a figure is of one session", param_hint="--figure")
    comparisons = {file: compare_steps(file, *steps, passed_only=passed_only) for file in files}
    if figure is not None:
        from nwbpipe.review._compare_figure import draw

        draw(files[0], comparisons[files[0]], figure)
    if as_json:
        read = {str(file): comparison.as_dict() for file, comparison in comparisons.items()}
        typer.echo(json.dumps(read if len(files) > 1 else read[str(files[0])], indent=2))
        return
    for file, comparison in comparisons.items():
        if len(files) > 1:
            echo(f"{file}:")
        _show(comparison)
        if len(files) > 1:
            echo("")
    if figure is not None:
        echo(f"drawn: {figure}")


def _show(found: Comparison) -> None:
    _print_table(
        ["step", "tool", "ROIs", "cells", "time (s)", "CPU (s)", "memory (MB)", "parameters that differ"],
        [
            [
                row.step,
                f"{row.tool} {row.tool_version}",
                str(row.rois),
                str(row.cells),
                _format_number(row.seconds, ".1f"),
                _format_number(row.cpu_seconds, ".1f"),
                _format_number(row.memory_mb, ".0f"),
                ", ".join(f"{name}={value}" for name, value in row.parameters.items()) or "-",
            ]
            for row in found.costs
        ],
    )
    echo("")
    counts = ["both", "only first", "only second", "recall", "precision", "IoU"]
    _print_table(
        ["first", "second", *counts, "trace r", "activity r", "motion (px)"],
        [
            [
                row.first,
                row.second,
                str(row.matched),
                str(row.only_first),
                str(row.only_second),
                _format_number(row.recall, ".2f"),
                _format_number(row.precision, ".2f"),
                _format_number(row.iou, ".2f"),
                _format_number(row.trace_r, ".3f"),
                _format_number(row.activity_r, ".2f"),
                _format_number(row.motion_rms, ".2f"),
            ]
            for row in found.pairs
        ],
    )


def _format_number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _print_table(head: list[str], rows: list[list[Any]]) -> None:
    widths = [max(len(str(row[k])) for row in [head, *rows]) for k in range(len(head))]
    for row in [head, *rows]:
        echo("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
