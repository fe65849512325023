"""``nwbpipe status``."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, ProjectFile, Sessions, Where
from nwbpipe.machine import preload

if TYPE_CHECKING:
    from nwbpipe.project import Project, ProjectStatus, QueuedSubmission
    from nwbpipe.publish import SessionUpload

_MOST = 40  # sessions that are shown
_MOST_JOBS = 20


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
    preload("nwbpipe.project")
    from nwbpipe.project import Project, list_queued
    from nwbpipe.publish import list_uploads

    opened = Project(project, profile=profile)
    if why is not None:
        _explain(opened, *why, as_json=as_json)
        return
    project_status = opened.status(sessions or (), where, verify=verify)
    uploads = list_uploads(opened)
    queued = list_queued(opened)
    if as_json:
        content = {
            **project_status.as_dict(),
            "uploads": [upload.as_dict() for upload in uploads],
            "submissions": [submission.as_dict() for submission in queued],
        }
        typer.echo(json.dumps(content, indent=2))
        return
    _show(project_status, opened, show_all)
    is_done = all(set(states) <= {"done", "ignored"} for states in project_status.counts().values())
    _show_jobs([entry for entry in queued if entry.jobs or not is_done])
    _show_uploads(uploads)


def _show_jobs(queued: list[QueuedSubmission]) -> None:
    for entry in queued:
        submission, states = entry.submission, Counter(job.state for job in entry.jobs)
        counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        echo(f"submitted to {submission.scheduler} at {submission.created[:16]}: {counts or entry.problem}")
        for job in entry.jobs[:_MOST_JOBS]:
            location = f" on {job.node} since {job.since}" if job.since else f" ({job.reason})" if job.reason else ""
            echo(f"  {job.job} {job.name}  {job.state}{location}{f': {job.run}' if job.run else ''}")
        if len(entry.jobs) > _MOST_JOBS:
            echo(f"  … and {len(entry.jobs) - _MOST_JOBS} more (--json)")


def _show_uploads(uploads: list[SessionUpload]) -> None:
    targets: dict[tuple[str, str], list[SessionUpload]] = {}
    for upload in uploads:
        targets.setdefault((upload.instance, upload.dandiset), []).append(upload)
    for (instance, dandiset), group in targets.items():
        changed = [upload.session for upload in group if not upload.is_current]
        echo(f"uploaded to dandiset {dandiset} at {instance}: {len(group)} sessions, {len(changed)} changed since")
        for session in changed[:10]:
            echo(f"  {session}")
        if len(changed) > 10:
            echo(f"  … and {len(changed) - 10} more (--json)")


def _explain(project: Project, session: str, step: str, *, as_json: bool) -> None:
    states = project.state(session, step)
    if as_json:
        typer.echo(json.dumps([state.as_dict() for state in states], indent=2))
        return
    for state in states:
        echo(f"{state.session} {state.run}: {state.state}{f': {state.reason}' if state.reason else ''}")
        for name, path in state.inputs.items():
            echo(f"  reads   {name}: {path}")
        for session_key, paths in state.session_inputs:
            echo(f"  reads   {session_key}: {', '.join(f'{name} = {path}' for name, path in paths.items())}")
        if state.key:
            echo(f"  key     {state.key[:16]}")
        if state.result:
            echo(f"  result  of run {state.result[:8]}")
        if state.log:
            echo(f"  log     {project.planner.state.location(state.log)}")


def _show(found: ProjectStatus, project: Project, show_all: bool) -> None:
    from nwbpipe.project.plan import STATE_MARKS

    for problem in found.problems:
        echo(f"can't be read: {problem}", err=True, lines=True)
    steps = list(found.counts())
    if not found.plans:
        echo("no session was found")
        return
    width = max(len(plan.session) for plan in found.plans)
    show_all = show_all or len(found.plans) <= _MOST
    open_ones = [
        plan for plan in found.plans if show_all or any(s.state not in ("done", "ignored") for s in plan.steps)
    ]
    shown_plans = open_ones if show_all else open_ones[:_MOST]
    if shown_plans:
        echo(f"{'':{width}}  {'  '.join(steps)}")
    for plan in shown_plans:
        marks = []
        for step in steps:
            states = [entry.state for entry in plan.select_step(step)]
            different = states[:1] if len(set(states)) == 1 else states
            mark = "".join(STATE_MARKS[state] for state in different)
            marks.append(f"{mark:^{len(step)}}")
        echo(f"{plan.session:{width}}  {'  '.join(marks)}".rstrip())
    if len(open_ones) > len(shown_plans):
        echo(f"… and {len(open_ones) - len(shown_plans)} more sessions that are not done (--all)")
    echo("  ".join(f"{mark} {name}" for name, mark in STATE_MARKS.items()))
    for step, counts in found.counts().items():
        echo(f"{step}: " + ", ".join(f"{number} {state}" for state, number in sorted(counts.items())))
    reasons = [entry for plan in found.plans for entry in plan.steps if entry.state in ("failed", "blocked", "stale")]
    for entry in reasons[:10]:
        echo(f"  {entry.session} {entry.run} {entry.state}: {entry.reason}")
        if entry.state == "failed" and entry.log:
            echo(f"    log: {project.planner.state.location(entry.log)}")
    if len(reasons) > 10:
        echo(f"  … and {len(reasons) - 10} more (--json)")
