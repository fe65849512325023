"""``nwbpipe serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo, echo_address
from nwbpipe.cli._options import Profile

_HERE = "127.0.0.1"


def serve(
    project: Annotated[
        Path | None,
        typer.Argument(metavar="[PROJECT]", help="The nwbpipe.toml, or its folder.  [default: the nearest upwards]"),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 for any free one.  [default: 8650, or a free one]")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; the default is for this machine alone.")] = _HERE,
    read_only: Annotated[bool, typer.Option("--read-only", help="Nothing can be run, stopped or changed.")] = False,
    root_path: Annotated[
        str, typer.Option(metavar="PATH", help="Prefix under which a reverse proxy offers it: /lab/nwb.")
    ] = "",
    allow_hosts: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A further name under which browsers ask for it."),
    ] = None,
    profile: Profile = None,
) -> None:
    """Show a project in the browser: states, reports, progress; run, stop, enter and correct. Ctrl-C ends it.

    Runs that were started from the browser go on when it ends.
    """
    from nwbpipe.serve import serve

    def say(text: str) -> None:
        # The query of the address is the token, which must be shown.
        echo_address(text) if text.startswith("http://") else echo(text, err=True)

    serve(
        project,
        profile=profile,
        host=host,
        port=port,
        read_only=read_only,
        root_path=root_path,
        allowed_hosts=allow_hosts or (),
        say=say,
    )
