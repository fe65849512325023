"""``nwbpipe download``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, ProjectFile
from nwbpipe.cli._progress import show_progress_bar
from nwbpipe.cli._signals import stop_on_signal
from nwbpipe.cli.cmd_upload import Instance

if TYPE_CHECKING:
    from nwbpipe.publish import DownloadReport


def download(
    address: Annotated[
        str, typer.Argument(metavar="DANDI:000123[/VERSION][/PATH]", help="The dandiset, or files of it.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where to.  [default: the project's files]"),
    ] = None,
    instance: Instance = None,
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Files at a time.")] = 4,
    project: ProjectFile = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the files and their digests as JSON.")] = False,
) -> None:
    """Download session files and videos of a dandiset into a project or a folder; digests are checked.

    Ends with 0 if all are here, 1 if some are not, 2 if the request was wrong.
    """
    from nwbpipe.publish import download as fetch_files

    with stop_on_signal() as stopped, show_progress_bar("download") as progress:
        outcome = fetch_files(
            address,
            instance=instance,
            output=output,
            project=project,
            profile=profile,
            jobs=jobs,
            progress=progress,
            stopped=stopped,
        )
    if as_json:
        typer.echo(json.dumps(outcome.as_dict(), indent=2))
    else:
        _show(outcome)
    if not outcome.is_complete:
        raise typer.Exit(1)


def _show(outcome: DownloadReport) -> None:
    for file in outcome.files:
        echo(f"{file.file}{'' if file.is_new else '  was here'}")
    for note in outcome.notes:
        echo(f"note: {note}", lines=True)
    for problem in outcome.problems:
        echo(f"failed: {problem}", err=True, lines=True)
    fetched = sum(file.is_new for file in outcome.files)
    name = f"{outcome.dandiset.identifier} ({outcome.dandiset.version})"
    text = f"{fetched} files of dandiset {name}, {len(outcome.files) - fetched} more were here"
    echo(text + ("" if outcome.is_complete else "; not complete"))
