"""``nwbpipe init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo


def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to put nwbpipe.toml.")] = Path(),
    name: Annotated[str | None, typer.Option(help="Name of the project.  [default: the folder's]")] = None,
) -> None:
    """Write a commented nwbpipe.toml to begin a project with, and trust it: `run` may start what it names."""
    from nwbpipe.machine import trust
    from nwbpipe.project import write_template

    folder.mkdir(parents=True, exist_ok=True)
    path = write_template(folder / "nwbpipe.toml", name or folder.resolve().name)
    trust(path)
    echo(f"{path}: edit it, then see `nwbpipe status`")
