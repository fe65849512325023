"""``nwbpipe inspect``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo, echo_address


class Viewer(enum.StrEnum):
    """A way to look at a session file."""

    NWBWIDGETS = "nwbwidgets"
    REPORT = "report"
    NEUROSIFT = "neurosift"


def inspect(
    file: Annotated[
        str, typer.Argument(metavar="FILE.nwb", help="A session file, or its address (s3://…, https://…).")
    ],
    viewer: Annotated[
        Viewer | None,
        typer.Option("--with", help="In which viewer.  [default: nwbwidgets where it is installed, else report]"),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address alone.")] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of NWB Widgets on 127.0.0.1.  [default: any free one]")
    ] = None,
) -> None:
    """Look at one session file in the browser: in NWB Widgets, as a report, or in neurosift.

    NWB Widgets has to be installed: `nwbpipe tools install nwbwidgets`. The file is only read. Ctrl-C ends it.
    """
    from nwbpipe.serve import has_widgets, inspect_with_neurosift, inspect_with_widgets, make_report, open_address
    from nwbpipe.stores import is_remote

    def say(text: str) -> None:
        echo(text, err=True)

    location = file if is_remote(file) else Path(file)
    if viewer is None:
        is_shown = has_widgets() and not is_remote(file)
        viewer = Viewer.NWBWIDGETS if port is not None or is_shown else Viewer.REPORT
        if viewer is Viewer.REPORT and not is_remote(file):
            say("note: this is the report, as NWB Widgets is not installed: nwbpipe tools install nwbwidgets")
    elif port is not None and viewer is not Viewer.NWBWIDGETS:
        raise typer.BadParameter("only NWB Widgets has a port of its own", param_hint="--port")
    if viewer is Viewer.NWBWIDGETS:
        inspect_with_widgets(location, say, echo_address, port=port or 0, browse=not no_browser)
        return
    if viewer is Viewer.NEUROSIFT:
        inspect_with_neurosift(location, say, echo_address, browse=not no_browser)
        return
    address = make_report(location).as_uri()
    echo_address(address)
    if not no_browser:
        open_address(address)
