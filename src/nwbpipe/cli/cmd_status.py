"""``nwbpipe status``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._options import Profile, ProjectFile, Sessions, Where

if TYPE_CHECKING:
    from nwbpipe.project import Project, ProjectStatus

_MARKS = {
    "done": "✓", "unverified": "✓?", "missing": "·", "stale": "~", "running": "▶", "failed": "✗", "blocked": "■",
    "ignored": "–",
}  # fmt: skip
_MOST = 40  # sessions that are shown


def status(
    sessions: Sessions = None,
    where: Where = None,
    why: Annotated[
        tuple[str, str] | None, typer.Option(metavar="SESSION STEP", help="Explain one step of one session.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read all that may have changed, however large.")] = False,
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Show every session, done ones too, where there are more than {_MOST}.")
    ] = False,
    project: ProjectFile = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all states as JSON.")] = False,
) -> None:
    """Show what is done, missing or stale in a project, and why."""
    from nwbpipe.project import Project

    opened = Project(project, profile=profile)
    if why is not None:
        _explain(opened, *why, as_json=as_json)
        return
    found = opened.status(sessions or (), where, verify=verify)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
        return
    _show(found, opened, show_all)


def _explain(project: Project, session: str, step: str, *, as_json: bool) -> None:
    states = project.state(session, step)
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in states], indent=2))
        return
    for one in states:
        typer.echo(f"{one.session} {one.run}: {one.state}{f': {one.reason}' if one.reason else ''}")
        for name, path in one.inputs.items():
            typer.echo(f"  reads   {name}: {path}")
        for session_key, paths in one.session_inputs:
            typer.echo(f"  reads   {session_key}: {', '.join(f'{name} = {path}' for name, path in paths.items())}")
        if one.key:
            typer.echo(f"  key     {one.key[:16]}")
        if one.result:
            typer.echo(f"  result  of run {one.result[:8]}")
        if one.log:
            typer.echo(f"  log     {project.planner.state.location(one.log)}")


def _show(found: ProjectStatus, project: Project, show_all: bool) -> None:
    for problem in found.problems:
        typer.echo(f"can't be read: {problem}", err=True)
    steps = list(found.counts())
    if not found.plans:
        typer.echo("no session was found")
        return
    width = max(len(plan.session) for plan in found.plans)
    show_all = show_all or len(found.plans) <= _MOST
    open_ones = [
        plan for plan in found.plans if show_all or any(s.state not in ("done", "ignored") for s in plan.steps)
    ]
    shown = open_ones if show_all else open_ones[:_MOST]
    if shown:
        typer.echo(f"{'':{width}}  {'  '.join(steps)}")
    for plan in shown:
        marks = []
        for step in steps:
            states = [one.state for one in plan.select_step(step)]
            mark = _MARKS[states[0]] if len(set(states)) == 1 else "".join(_MARKS[one] for one in states)
            marks.append(f"{mark:^{len(step)}}")
        typer.echo(f"{plan.session:{width}}  {'  '.join(marks)}".rstrip())
    if len(open_ones) > len(shown):
        typer.echo(f"… and {len(open_ones) - len(shown)} more sessions that are not done (--all)")
    typer.echo("  ".join(f"{mark} {name}" for name, mark in _MARKS.items()))
    for step, counts in found.counts().items():
        typer.echo(f"{step}: " + ", ".join(f"{number} {state}" for state, number in sorted(counts.items())))
    reasons = [one for plan in found.plans for one in plan.steps if one.state in ("failed", "blocked", "stale")]
    for one in reasons[:10]:
        typer.echo(f"  {one.session} {one.run} {one.state}: {one.reason}")
        if one.state == "failed" and one.log:
            typer.echo(f"    log: {project.planner.state.location(one.log)}")
    if len(reasons) > 10:
        typer.echo(f"  … and {len(reasons) - 10} more (--json)")
