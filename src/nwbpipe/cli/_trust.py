"""Ask for the trust that a project needs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from nwbpipe.cli._echo import echo

if TYPE_CHECKING:
    from nwbpipe.project import Project


def ensure_trust(project: Project) -> None:
    """Ask once whether a project that names programs is trusted; without a terminal, raise `UntrustedError`."""
    from nwbpipe.errors import UntrustedError
    from nwbpipe.machine import trust

    try:
        project.require_trust()
    except UntrustedError as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        echo(
            f"{error.problem.what}\n  where:    {error.problem.where}\n  found:    {error.problem.found}",
            err=True,
            lines=True,
        )
        if not typer.confirm("Do you trust it from now on?", err=True):
            raise
        trust(project.spec.path)
