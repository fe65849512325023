"""``nwbpipe qc``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, Sessions, Where
from nwbpipe.cli._progress import show_progress_bar

if TYPE_CHECKING:
    from nwbpipe.quality import ThresholdSet
    from nwbpipe.review import QualityVerdict, SessionQuality


def qc(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.nwb|PROJECT", help="A session file; or an nwbpipe.toml, or the folder of it."),
    ],
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
    sessions: Sessions = None,
    where: Where = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every verdict with its metrics as JSON.")] = False,
) -> None:
    """List what fails in the scans, ROIs and units of a file, or of all sessions of a project, and why."""
    from nwbpipe.processors.ephys import UNIT_METRICS
    from nwbpipe.quality import list_metrics, read_thresholds

    metrics = {**list_metrics(), "unit": UNIT_METRICS}
    chosen = read_thresholds(thresholds, metrics) if thresholds is not None else None
    if file.is_dir() or file.suffix == ".toml":
        if measure or replace:
            raise typer.BadParameter(
                'in a project, metrics are a step: processor = "imaging_quality" or "unit_quality"',
                param_hint="--measure",
            )
        _show_project(file, profile, (sessions or (), where), step, chosen, as_json=as_json)
    elif sessions or where:
        raise typer.BadParameter("sessions are chosen in a project", param_hint="--session, --where")
    else:
        _show_file(file, step, chosen, measure=measure, replace=replace, as_json=as_json)


def _show_file(
    file: Path, step: str | None, chosen: ThresholdSet | None, *, measure: bool, replace: bool, as_json: bool
) -> None:
    from nwbpipe.errors import UnknownNameError
    from nwbpipe.review import list_measurable_steps, list_unmeasured_steps, measure_quality, verdicts

    if measure:
        # A step of a project may have measured it, under another name.
        measured_steps = {item.about for item in verdicts(file) if item.step != f"{item.about}_quality"}
        for item in (
            [step]
            if step is not None
            else [item for item in list_measurable_steps(file) if item not in measured_steps]
        ):
            with show_progress_bar(f"{item}_quality") as progress:
                measure_quality(file, item, thresholds=chosen, replace=replace, progress=progress)
    judged = verdicts(file, step=step, thresholds=None if measure else chosen)
    missing = list_unmeasured_steps(file, judged, step)
    if step is not None and not judged and not missing:
        msg = f"the file has no imaging result and no units of a step {step!r}"
        raise UnknownNameError(
            msg, where=str(file), expected=", ".join(list_measurable_steps(file)) or "none", found=step
        )
    if as_json:
        typer.echo(json.dumps([item.as_dict() for item in judged], indent=2))
        return
    _show_all(judged)
    for name in missing:
        echo(f"{name}: not measured; `nwbpipe qc FILE.nwb --measure` does")
    if not judged and not missing:
        echo("the file has no results that can be measured")


def _show_project(
    place: Path,
    profile: str | None,
    which: tuple[Sequence[str], str | None],
    step: str | None,
    chosen: ThresholdSet | None,
    *,
    as_json: bool,
) -> None:
    from nwbpipe.project import Project

    sessions, problems = Project(place, profile=profile).quality(*which, step=step, thresholds=chosen)
    if as_json:
        output = {"sessions": [entry.as_dict() for entry in sessions], "problems": [str(entry) for entry in problems]}
        typer.echo(json.dumps(output, indent=2))
    else:
        for problem in problems:
            echo(f"can't be read: {problem}", err=True, lines=True)
        for entry in sessions:
            _show_session(entry)
        count = sum(entry.failed for entry in sessions)
        bare = sum(not entry.judged for entry in sessions)
        number = f"{len(sessions)} session" + ("" if len(sessions) == 1 else "s")
        echo(f"{number}: {count} with something that fails, {bare} without verdicts")
    if problems or any(entry.problem for entry in sessions):
        raise typer.Exit(1)


def _show_session(one: SessionQuality) -> None:
    echo(f"{one.session}:" + (" there is no NWB file yet" if one.missing else ""))
    if one.problem:
        echo(f"{one.session} can't be read: {one.problem}", err=True, lines=True)
        return
    _show_all(one.judged, indent="  ")
    for name in one.not_measured:
        echo(f"  {name}: not measured")
    if not one.missing and not one.judged and not one.not_measured:
        echo("  nothing that can be measured")


def _show_all(judged: Sequence[QualityVerdict], indent: str = "") -> None:
    for name in dict.fromkeys(verdict.step for verdict in judged):
        _show(name, [verdict for verdict in judged if verdict.step == name], indent)


def _show(step: str, judged: list[QualityVerdict], indent: str) -> None:
    for verdict in judged:
        if verdict.of == "scan":
            echo(f"{indent}{step}: the scan: {verdict.verdict}")
            for reason in verdict.reasons:
                echo(f"{indent}    {reason}")
    for kind, title in (("roi", "ROI"), ("unit", "unit")):
        members = [verdict for verdict in judged if verdict.of == kind]
        if members:
            counts = Counter(verdict.verdict for verdict in members)
            numbers = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("pass", "warn", "fail"))
            echo(f"{indent}{step}: {len(members)} {title}{'s' if len(members) != 1 else ''}: {numbers}")
        for verdict in members:
            if verdict.verdict == "fail":
                echo(f"{indent}    {title} {verdict.label or verdict.row}: {'; '.join(verdict.reasons)}")
