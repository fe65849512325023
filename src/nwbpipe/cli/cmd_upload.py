"""``nwbpipe upload``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, ProjectFile, Sessions
from nwbpipe.cli._progress import show_progress_bar
from nwbpipe.cli._signals import stop_on_signal

if TYPE_CHECKING:
    from nwbpipe.publish import PlannedAsset, UploadPlan, UploadReport

_MOST = 20  # files of a list that are shown
Instance = Annotated[
    str | None,
    typer.Option(metavar="NAME|URL", help="The archive: dandi, sandbox, ember, …, or the URL of its API."),
]


def upload(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE.nwb … | PROJECT]", help="Session files, or a project.  [default: the nearest]"),
    ] = None,
    dandiset: Annotated[
        str | None, typer.Option(metavar="000123", help="The dandiset.  [default: that of nwbpipe.toml]")
    ] = None,
    instance: Instance = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare and check, and send nothing.")] = False,
    create: Annotated[
        bool, typer.Option("--create", help="Create the dandiset that [publish] in nwbpipe.toml describes.")
    ] = False,
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Send the other files if DANDI would refuse some.")
    ] = False,
    sessions: Sessions = None,
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Files, and parts of files, that are sent at a time.")] = 4,
    project: ProjectFile = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan and the receipt as JSON.")] = False,
) -> None:
    """Upload session files and their videos to a dandiset: what is new or has changed, by digest.

    Ends with 0 if all are up, 1 if some were refused or failed, 2 if the request was wrong.
    """
    from nwbpipe.publish import upload as send_files

    with stop_on_signal() as stopped, show_progress_bar("upload") as progress:
        outcome = send_files(
            sources or (),
            instance=instance,
            dandiset=dandiset,
            project=project,
            profile=profile,
            sessions=sessions or (),
            create=create,
            dry_run=dry_run,
            skip_refused=skip_refused,
            jobs=jobs,
            show_plan=_choose_view(as_json),
            progress=progress,
            stopped=stopped,
        )
    if as_json:
        typer.echo(json.dumps(outcome.as_dict(), indent=2))
    else:
        _show_outcome(outcome, dry_run)
    if not outcome.in_order:
        raise typer.Exit(1)


def _choose_view(as_json: bool) -> Callable[[UploadPlan], None]:
    return (lambda _: None) if as_json else _show_plan


def _show_plan(plan: UploadPlan) -> None:
    for title, group in (("new", plan.new), ("changed", plan.changed), ("unchanged", plan.unchanged)):
        size = sum(planned.digest.size for planned in group)
        echo(f"{title}: {len(group)} files, {size / 1e6:.1f} MB")
        _show_files(group if title != "unchanged" else [])
    echo(f"refused: {len(plan.refused)} sessions")
    for session in plan.refused:
        echo(f"  {session.file}")
        for problem in session.problems:
            echo("    " + str(problem).replace("\n", "\n    "), lines=True)
    for note in plan.notes:
        echo(f"note: {note}", lines=True)


def _show_files(group: list[PlannedAsset]) -> None:
    for planned in group[:_MOST]:
        echo(f"  {planned.asset.path}  {planned.digest.size / 1e6:.1f} MB")
    if len(group) > _MOST:
        echo(f"  … and {len(group) - _MOST} more (--json)")


def _show_outcome(outcome: UploadReport, dry_run: bool) -> None:
    receipt = outcome.receipt
    if receipt is None:
        if outcome.plan.refused and not dry_run:
            echo("nothing was sent: correct the files, or pass --skip-refused")
        return
    for problem in receipt.problems:
        echo(f"failed: {problem}", err=True, lines=True)
    sent = [asset for asset in receipt.assets if asset.state != "unchanged"]
    total = len(outcome.plan.pending)
    words = {"done": "", "stopped": "stopped: ", "failed": "not complete: "}[receipt.outcome]
    if total:
        echo(f"{words}{len(sent)} of {total} files are up and were read back")
    else:
        echo(f"nothing to send: all {len(outcome.plan.unchanged)} files are there")
    echo(f"  {receipt}" + (", created now" if receipt.created else ""))
    unconfirmed = sum(not asset.sha256_confirmed for asset in receipt.assets)
    if unconfirmed and receipt.outcome == "done":
        echo(f"  the archive has not computed the SHA-256 of {unconfirmed} files yet; their etags are right")
    if outcome.location:
        echo(f"  receipt: {outcome.location}")
