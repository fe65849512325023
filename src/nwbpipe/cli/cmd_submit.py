"""``nwbpipe submit``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, ProjectFile, Sessions, Where
from nwbpipe.cli._trust import ensure_trust


def submit(
    sessions: Sessions = None,
    where: Where = None,
    steps: Annotated[
        list[str] | None, typer.Option("--step", metavar="NAME", help="Only these steps, and what they need.")
    ] = None,
    array: Annotated[
        int | None, typer.Option(min=1, help="Workers of each kind.  [default: as in nwbpipe.toml]")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, max=20, help="How often workers follow on those that ended.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the commands and scripts.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the jobs that were submitted before.")] = False,
    cloud: Annotated[
        str | None, typer.Option(metavar="aws|google", help="Write job files for its batch service; submit nothing.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="The workers' image, in a cloud.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="For the job files of a cloud.")
    ] = Path("jobs"),
    project: ProjectFile = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was submitted as JSON.")] = False,
) -> None:
    """Let a cluster's scheduler (SLURM, PBS, SGE, LSF) compute what is missing or stale, in job arrays.

    Each job is a plain `nwbpipe run`; nothing stays running here. `nwbpipe status` shows the jobs. With `--cloud`,
    files for AWS Batch or Google Batch are written, and the commands shown that take them.
    """
    from nwbpipe.project import Project, cancel_submissions, prepare_submission, submit_workers, write_cloud_jobs

    opened = Project(project, profile=profile)
    if cloud is not None:
        if dry_run or cancel or rounds is not None:
            raise typer.BadParameter(
                "not for a cloud: nothing is submitted; its own commands are printed, and cancel jobs",
                param_hint="--dry-run, --cancel, --rounds",
            )
        if image is None:
            raise typer.BadParameter(
                "needed for a cloud: an image with nwbpipe and the project", param_hint="--image"
            )
        commands = write_cloud_jobs(
            opened, cloud, image, output, sessions or (), where, steps=steps or (), array=array
        )  # fmt: skip
        if as_json:
            typer.echo(json.dumps(commands, indent=2))
            return
        for line in commands:
            echo(line, lines=True)
        echo(
            "we have not run this service: look at the first jobs" if commands else "nothing to do",
            err=True,
        )
        return
    if cancel:
        cancelled = cancel_submissions(opened)
        if as_json:
            typer.echo(json.dumps([submission.as_dict() for submission in cancelled], indent=2))
        else:
            echo(f"{len(cancelled)} submissions cancelled" if cancelled else "nothing was submitted that still runs")
        return
    if not dry_run:
        ensure_trust(opened)
    prepared = prepare_submission(opened, sessions or (), where, steps=steps or (), array=array, rounds=rounds)
    if not prepared.rounds:
        echo("null" if as_json else "nothing to do: all steps are done, or blocked")
        return
    if dry_run:
        for line in prepared.lines():
            echo(line, lines=True)
        return
    submission = submit_workers(prepared)
    if as_json:
        typer.echo(json.dumps(submission.as_dict(), indent=2))
        return
    echo(f"{prepared.runs} runs to do; {prepared.jobs} jobs submitted to {submission.scheduler}")
    for entry in submission.arrays:
        if entry.round == 1:
            echo(f"  {entry.job} {entry.name}: {entry.size} workers of the kind {entry.kind}")
    if len(prepared.rounds) > 1:
        echo(f"  then {len(prepared.rounds) - 1} more rounds, which end at once if nothing is left")
    if not prepared.scheduler.tested:
        echo(f"  nwbpipe was not tested with {submission.scheduler}: look at the first jobs", err=True)
    echo("`nwbpipe status` shows them, `nwbpipe submit --cancel` ends them; you can log out")
