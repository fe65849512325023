"""``nwbpipe run``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, ProjectFile, Sessions, Where
from nwbpipe.cli._run_progress import keep_reports, show_run_progress
from nwbpipe.cli._signals import stop_on_signal
from nwbpipe.cli._trust import ensure_trust
from nwbpipe.machine import preload

if TYPE_CHECKING:
    from nwbpipe.project.execute import RunSummary
    from nwbpipe.project.plan import StepState


def run(
    sessions: Sessions = None,
    where: Where = None,
    steps: Annotated[
        list[str] | None, typer.Option("--step", metavar="NAME", help="Only these steps, and what they need.")
    ] = None,
    executor: Annotated[
        str | None, typer.Option(help="local, dask, slurm, pbs, sge, lsf or cloud.  [default: as in nwbpipe.toml]")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at once.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also what has failed before.")] = False,
    max_failures: Annotated[
        int | None, typer.Option(min=1, help="Begin nothing more after so many failures.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Begin at most so many runs.")] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="Only steps for these workers: standard, imaging, ephys, video."),
    ] = None,
    idle: Annotated[
        float | None, typer.Option(min=0, help="End after so many seconds in which only other runners had work.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run.")] = False,
    show_job_script: Annotated[
        bool, typer.Option("--show-job-script", help="Show the jobs that a cluster would be given.")
    ] = False,
    project: ProjectFile = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Compute what is missing or stale in a project.

    Ends with 0 if nothing failed, 1 otherwise. One session's failure stops no other.
    """
    preload("nwbpipe.project")
    from nwbpipe.project import Project

    opened = Project(project, profile=profile)
    if show_job_script:
        ensure_trust(opened)
        typer.echo(opened.job_scripts(executor))
        return
    if dry_run:
        _show_pending(opened.pending(sessions or (), where, steps=steps or (), retry_failed=retry_failed), as_json)
        return
    ensure_trust(opened)
    with (
        show_run_progress() as progress,
        stop_on_signal() as stopped,
        keep_reports(opened, progress) as reporter,
    ):
        summary = opened.run(
            sessions or (),
            where,
            steps=steps or (),
            executor=executor,
            workers=workers,
            retry_failed=retry_failed,
            max_failures=max_failures,
            limit=limit,
            kinds=kinds or (),
            idle_s=idle,
            reporter=reporter,
            stopped=stopped,
        )
    if as_json:
        typer.echo(json.dumps(summary.as_dict(), indent=2))
    else:
        _show(summary)
    if not summary.ok:
        raise typer.Exit(1)


def _show_pending(states: list[StepState], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([state.as_dict() for state in states], indent=2))
        return
    for state in states:
        echo(f"{state.session} {state.run}  {state.state}{f': {state.reason}' if state.reason else ''}")
    echo(f"{len(states)} runs would be done")


def _show(summary: RunSummary) -> None:
    echo(f"{summary.done} done, {len(summary.failed)} failed, {len(summary.blocked)} blocked")
    for session, step, text in [*summary.failed, *summary.uncommitted]:
        echo(f"  {session} {step}: {text.partition(chr(10))[0]}")
    for state in summary.blocked[:10]:
        echo(f"  {state.session} {state.run} blocked: {state.reason}")
    for session, medium in summary.media:
        end = f"stays: {medium.stays}" if medium.stays else "was removed: its time was over"
        echo(f"  {session} {medium.step}: {medium.path} {end}")
    if summary.for_other_workers:
        echo(f"  {summary.for_other_workers} are left for other kinds of workers")
    if summary.not_started:
        echo(f"  {summary.not_started} more are ready: run again")
    if summary.interrupted:
        echo("stopped; run again to go on")
    elif summary.failed:
        echo("`nwbpipe status --why SESSION STEP` shows why; run again with --retry-failed when it is mended")
