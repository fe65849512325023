"""``nwbpipe verify``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, ProjectFile
from nwbpipe.cli._progress import show_progress_bar
from nwbpipe.cli._trust import ensure_trust


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

    opened = None if session.endswith(".nwb") else Project(project, profile=profile)
    if opened is not None:
        ensure_trust(opened)
    with show_progress_bar(f"verify {step}") as progress:
        if opened is None:
            comparisons = verify_run(session, step, timeout=timeout, progress=progress)
        else:
            comparisons = opened.verify(session, step, timeout=timeout, progress=progress)
    if as_json:
        typer.echo(json.dumps([{**asdict(comparison), "ok": comparison.ok} for comparison in comparisons], indent=2))
    else:
        for comparison in comparisons:
            detail = (
                comparison.what
                or f"largest relative difference {comparison.largest:.3g} (tolerance {comparison.tolerance:g})"
            )
            echo(f"{'same' if comparison.ok else 'DIFFERS'}  {comparison.path}  {detail}")
    if not all(comparison.ok for comparison in comparisons):
        raise typer.Exit(1)
