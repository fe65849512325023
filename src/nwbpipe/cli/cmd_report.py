"""``nwbpipe report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, Sessions, Where
from nwbpipe.cli._progress import show_progress_bar


def report(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.nwb|PROJECT",
            help="A session file, or its address (s3://…); or an nwbpipe.toml, or the folder of it.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="The page; for a project a folder.  [default: FILE.html, or the folder report beside nwbpipe.toml]",
        ),
    ] = None,
    sessions: Sessions = None,
    where: Where = None,
    profile: Profile = None,
) -> None:
    """Write what a session holds as one HTML page, or the pages of a project: no network, no server, no script."""
    from nwbpipe.report import write_project_report, write_report
    from nwbpipe.stores import is_remote

    if is_remote(file) or not (Path(file).is_dir() or file.endswith(".toml")):
        if sessions or where:
            raise typer.BadParameter("sessions are chosen in a project", param_hint="--session, --where")
        echo(str(write_report(file if is_remote(file) else Path(file), output)))
        return
    from nwbpipe.project import Project

    with show_progress_bar("reports") as progress:
        written = write_project_report(
            Project(Path(file), profile=profile), output, sessions=sessions or (), where=where, progress=progress
        )
    for problem in written.problems:
        echo(f"can't be read: {problem}", err=True, lines=True)
    echo(str(written.page))
    if written.problems:
        raise typer.Exit(1)
