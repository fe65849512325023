"""``nwbpipe verify``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from nwbpipe.cli._options import Profile, ProjectFile
from nwbpipe.cli._progress import show_progress_bar


def verify(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Key of the session, or a session file.")],
    step: Annotated[str, typer.Argument(metavar="STEP", help="Name that the results carry.")],
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds after which the tool is stopped.")] = None,
    project: ProjectFile = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all comparisons as JSON.")] = False,
) -> None:
    """Compute a run again from its record, and compare; the file stays as it is.

    Ends with 0 if all is within the tolerances that the processor declares, 1 otherwise.
    """
    from nwbpipe.project import Project
    from nwbpipe.run import verify_run

    with show_progress_bar(f"verify {step}") as progress:
        if session.endswith(".nwb"):
            found = verify_run(session, step, timeout=timeout, progress=progress)
        else:
            opened = Project(project, profile=profile)
            found = opened.verify(session, step, timeout=timeout, progress=progress)
    if as_json:
        typer.echo(json.dumps([{**asdict(one), "ok": one.ok} for one in found], indent=2))
    else:
        for one in found:
            told = one.what or f"largest relative difference {one.largest:.3g} (tolerance {one.tolerance:g})"
            typer.echo(f"{'same' if one.ok else 'DIFFERS'}  {one.path}  {told}")
    if not all(one.ok for one in found):
        raise typer.Exit(1)
