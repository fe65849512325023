"""``nwbpipe scrub``."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo
from nwbpipe.cli._options import Profile, Sessions, Where
from nwbpipe.cli._signals import stop_on_signal


def scrub(
    project: Annotated[
        Path | None,
        typer.Argument(
            metavar="PROJECT", help="The nwbpipe.toml, or its folder.  [default: the nearest one upwards]"
        ),
    ] = None,
    sessions: Sessions = None,
    where: Where = None,
    again_after: Annotated[
        float, typer.Option(min=0, help="Days after which a file that was in order is read again.")
    ] = 30.0,
    hours: Annotated[float | None, typer.Option(min=0, help="Begin no further file after so many hours.")] = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the state of each file as JSON.")] = False,
) -> None:
    """Read every chunk of a project's session files, and name the datasets that a flipped bit has hit.

    It reads at the lowest priority. Ends with 0 if all is in order, 1 otherwise.
    """
    from nwbpipe.project import Project, scrub

    opened = Project(project, profile=profile)
    _become_idle()
    looks = []
    age = timedelta(days=again_after)
    with stop_on_signal() as stopped:
        for look in scrub(opened, sessions or (), where, again_after=age, hours=hours, stopped=stopped):
            looks.append(look)
            if as_json:
                continue
            note = "" if look.read_now else f", read {look.time[:10]}"
            if look.unprotected:
                note += f", {look.unprotected} without a checksum"
            echo(f"{'in order' if look.in_order else 'DAMAGED '}  {look.session}  {look.datasets} datasets{note}")
            for path, reason in look.damaged.items():
                echo(f"          {path}: {reason}")
            for path in look.changed:
                echo(f"          {path}: raw data that somebody rewrote since the look before")
    if as_json:
        typer.echo(json.dumps([look.as_dict() for look in looks], indent=2))
    if not all(look.in_order for look in looks):
        if not as_json:
            echo("restore the damaged files from a copy, or convert their sessions again", err=True)
        raise typer.Exit(1)


def _become_idle() -> None:
    """Let other programs go first, at the processor and at the disk."""
    import psutil

    with suppress(OSError, AttributeError, psutil.Error):
        os.nice(19)
    with suppress(OSError, AttributeError, ValueError, psutil.Error):
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE if sys.platform == "linux" else psutil.IOPRIO_VERYLOW)
