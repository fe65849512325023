"""``nwbpipe trust``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo


def trust(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH...]", help="Project files, or folders with all below them."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Trust these paths no longer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the trusted paths as JSON.")] = False,
) -> None:
    """Trust a project file that names programs, or raw data that can carry code; without PATH, list what is trusted.

    NWBPIPE_TRUST names trusted paths for one process and its children, as in a container or on a cluster.
    """
    from nwbpipe.machine import list_trusted, withdraw_trust
    from nwbpipe.machine import trust as trust_path

    for path in paths or ():
        if remove:
            echo(f"{path}: {'no longer trusted' if withdraw_trust(path) else 'was not trusted'}")
        else:
            echo(f"{trust_path(path)}: trusted")
    if not paths and as_json:
        typer.echo(json.dumps(list_trusted(), indent=2))
    elif not paths:
        echo("\n".join(list_trusted()) or "no path is trusted", lines=True)
