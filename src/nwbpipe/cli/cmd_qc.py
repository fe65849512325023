"""``nwbpipe qc``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._progress import progress_bar

if TYPE_CHECKING:
    from nwbpipe.engine import Judged
    from nwbpipe.quality import ThresholdSet


def qc(
    file: Annotated[Path, typer.Argument(metavar="FILE.nwb", help="The session file.")],
    step: Annotated[str | None, typer.Option(help="Only what this step read and wrote.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure first what is not measured yet, and write it into the file.")
    ] = False,
    thresholds: Annotated[
        Path | None, typer.Option(metavar="SET.toml", help="Judge by this set of thresholds.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="With --measure: replace metrics by other thresholds, or of an older result."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every verdict with its metrics as JSON.")] = False,
) -> None:
    """List what fails in a file's scans and ROIs, and why."""
    from nwbpipe.engine import imaging_steps, measure_quality, verdicts
    from nwbpipe.quality import known_metrics, read_thresholds

    chosen: ThresholdSet | None = read_thresholds(thresholds, known_metrics()) if thresholds is not None else None
    steps = [step] if step is not None else imaging_steps(file)
    if measure:
        for one in steps:
            with progress_bar(f"{one}_quality") as progress:
                measure_quality(file, one, thresholds=chosen, replace=replace, progress=progress)
    judged = verdicts(file, step=step, thresholds=None if measure else chosen)
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in judged], indent=2))
        return
    for name in dict.fromkeys(one.step for one in judged):
        _show(name, [one for one in judged if one.step == name])
    measured = {one.step.removesuffix("_quality") for one in judged}
    for name in steps:
        if name not in measured:
            typer.echo(f"{name}: not measured; `nwbpipe qc FILE.nwb --measure` does")
    if not judged and not steps:
        typer.echo("the file has no results that can be measured")


def _show(step: str, judged: list[Judged]) -> None:
    for one in judged:
        if one.of == "scan":
            typer.echo(f"{step}: the scan: {one.verdict}" + "".join(f"\n    {reason}" for reason in one.reasons))
    rois = [one for one in judged if one.of == "roi"]
    if rois:
        counts = Counter(one.verdict for one in rois)
        typer.echo(f"{step}: {len(rois)} ROIs: " + ", ".join(f"{counts[v]} {v}" for v in ("pass", "warn", "fail")))
    for one in rois:
        if one.verdict == "fail":
            typer.echo(f"    ROI {one.row}: {'; '.join(one.reasons)}")
