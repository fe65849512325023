"""``nwbpipe compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, ProjectFile

if TYPE_CHECKING:
    from nwbpipe.review import Comparison, ModelComparison, UnitComparison, UnitPair

_MOST_UNITS = 10


def compare(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE.nwb... STEP...",
            help="Session files, then steps with imaging results, or with units; or trained models of pose: "
            "models://STEP, models://STEP/KEY/IDENTITY.",
        ),
    ],
    truth: Annotated[str | None, typer.Option(metavar="STEP", help="The step whose units are true.")] = None,
    figure: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the comparison into a file.")] = None,
    passed_only: Annotated[
        bool, typer.Option("--passed-only", help="Leave out ROIs and units that fail, by the verdicts in the file.")
    ] = False,
    project: ProjectFile = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare steps with each partner, and with a truth: imaging, or units (`units` is the table /units).

    Or the errors of trained models of pose, each keypoint's, on the same test frames.
    """
    if any(word.startswith("models://") for word in words):
        _compare_models(words, project, profile, as_json=as_json)
        return
    from nwbpipe.review import compare as compare_imaging
    from nwbpipe.review import compare_units, has_units

    files = [Path(word) for word in words if word.endswith(".nwb")]
    steps = [word for word in words if not word.endswith(".nwb")]
    if not files:
        raise typer.BadParameter("name a session file (….nwb) first", param_hint="FILE.nwb")
    if figure is not None and len(files) > 1:
        raise typer.BadParameter("a figure is of one session", param_hint="--figure")
    comparisons: dict[Path, Comparison | UnitComparison] = {}
    for file in files:
        if truth is not None or (steps and has_units(file, steps)):
            comparisons[file] = compare_units(file, *steps, truth=truth, passed_only=passed_only)
        else:
            comparisons[file] = compare_imaging(file, *steps, passed_only=passed_only)
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


def _compare_models(words: list[str], project: Path | None, profile: str | None, *, as_json: bool) -> None:
    from nwbpipe.project import Project
    from nwbpipe.review import compare_models

    unknown = [word for word in words if not word.startswith("models://")]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not a model", param_hint="models://STEP")
    comparison = compare_models(Project(project, profile=profile).planner.models, *words)
    if as_json:
        typer.echo(json.dumps(comparison.as_dict(), indent=2))
    else:
        _show_models(comparison)


def _show_models(comparison: ModelComparison) -> None:
    parts = list(comparison.models[0].keypoints)
    _print_table(
        ["model", "network", "best epoch", *(f"{part} (px)" for part in parts)],
        [
            [
                model.model,
                model.network,
                "-" if model.best_epoch is None else str(model.best_epoch),
                *(_format_number(model.keypoints[part]["mean"], ".2f") for part in parts),
            ]
            for model in comparison.models
        ],
    )
    echo("")
    echo(f"mean errors on {len(comparison.frames)} test frames, the same for all")


def _show(comparison: Comparison | UnitComparison) -> None:
    from nwbpipe.review import UnitComparison

    if isinstance(comparison, UnitComparison):
        _show_units(comparison)
    else:
        _show_imaging(comparison)


def _show_imaging(comparison: Comparison) -> None:
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
            for row in comparison.costs
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
            for row in comparison.pairs
        ],
    )


def _show_units(comparison: UnitComparison) -> None:
    _print_table(
        ["step", "tool", "units", "spikes", "time (s)", "CPU (s)", "memory (MB)"],
        [
            [
                row.step,
                f"{row.tool} {row.tool_version}".strip() or "-",
                str(row.units),
                str(row.spikes),
                _format_number(row.seconds, ".1f"),
                _format_number(row.cpu_seconds, ".1f"),
                _format_number(row.memory_mb, ".0f"),
            ]
            for row in comparison.tables
        ],
    )
    echo("")
    _print_table(
        [
            "first",
            "second",
            "both",
            "of them ≥ 0.8",
            "only first",
            "only second",
            "mean",
            "redundant",
            "merged",
            "<0.2",
        ],
        [
            [
                row.first,
                row.second,
                str(row.matched),
                str(row.well_detected),
                str(row.only_first),
                str(row.only_second),
                _format_number(row.mean_agreement, ".3f"),
                str(len(row.redundant)),
                str(len(row.merged)),
                str(len(row.strangers)),
            ]
            for row in comparison.pairs
        ],
    )
    names = {table.step: table.names for table in comparison.tables}
    for pair in comparison.pairs:
        if comparison.truth is None or pair.first == comparison.truth:
            _show_matches(pair, names, accuracy=pair.first == comparison.truth)


def _show_matches(pair: UnitPair, names: dict[str, list[str]], *, accuracy: bool) -> None:
    """Print the units of the first table that are not matched well, the worst first."""
    matches = {match.first: match for match in pair.matches}
    rows = sorted(range(len(names[pair.first])), key=lambda row: matches[row].agreement if row in matches else 0.0)
    rows = [row for row in rows if row not in matches or matches[row].agreement < 0.8]
    if not rows:
        return
    echo("")
    measure = "accuracy" if accuracy else "agreement"
    echo(f"units of {pair.first} with {measure} below 0.8 in {pair.second}:")
    table = []
    for row in rows[:_MOST_UNITS]:
        match, values = matches.get(row), pair.agreement[row]
        best = max(range(len(values)), key=values.__getitem__, default=None)
        column = match.second if match else best
        partner = "-" if column is None else names[pair.second][column]
        table.append(
            [
                names[pair.first][row],
                partner,
                "-" if column is None else f"{values[column]:.2f}",
                _format_number(match.recall if match else None, ".2f"),
                _format_number(match.precision if match else None, ".2f"),
            ]
        )
    _print_table(["unit", f"nearest in {pair.second}", measure, "recall", "precision"], table)
    if len(rows) > _MOST_UNITS:
        echo(f"… and {len(rows) - _MOST_UNITS} more (--json has all)")


def _format_number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _print_table(head: list[str], rows: list[list[Any]]) -> None:
    widths = [max(len(str(row[k])) for row in [head, *rows]) for k in range(len(head))]
    for row in [head, *rows]:
        echo("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
