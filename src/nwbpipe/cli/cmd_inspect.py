"""``nwbpipe inspect``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo, echo_address


class Viewer(enum.StrEnum):
    """A way to look at a session file."""

    REPORT = "report"
    NEUROSIFT = "neurosift"


def inspect(
    file: Annotated[
        str, typer.Argument(metavar="FILE.nwb", help="A session file, or its address (s3://…, https://…).")
    ],
    viewer: Annotated[Viewer, typer.Option("--with", help="In which viewer.")] = Viewer.REPORT,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address alone.")] = False,
) -> None:
    """Look at one session file in the browser: its report, or neurosift."""
    from nwbpipe.serve import inspect_with_neurosift, make_report, open_address
    from nwbpipe.stores import is_remote

    def say(text: str) -> None:
        echo(text, err=True)

    location = file if is_remote(file) else Path(file)
    if viewer is Viewer.NEUROSIFT:
        inspect_with_neurosift(location, say, echo_address, browse=not no_browser)
        return
    address = make_report(location).as_uri()
    echo_address(address)
    if not no_browser:
        open_address(address)
