"""``nwbpipe init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nwbpipe.cli._echo import echo


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Where to put it.  [default: here, or a new folder NAME]"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the project.  [default: the folder's]")] = None,
    package: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Write a Python package for your own processors and interfaces."),
    ] = None,
) -> None:
    """Write a commented nwbpipe.toml to begin a project with, and trust it: `run` may start what it names.

    With --package: write a package with a processor, an interface, their tests and CI, to begin your own with.
    """
    from nwbpipe.machine import trust
    from nwbpipe.project import write_template

    if package is not None:
        from nwbpipe.cli._package import write_package

        folder = Path(package) if folder is None else folder
        write_package(folder, package)
        echo(f"{folder}: next: cd {folder} && python -m pip install -e '.[dev]' && python -m pytest")
        return
    folder = folder or Path()
    folder.mkdir(parents=True, exist_ok=True)
    path = write_template(folder / "nwbpipe.toml", name or folder.resolve().name)
    trust(path)
    echo(f"{path}: edit it, then see `nwbpipe status`")
