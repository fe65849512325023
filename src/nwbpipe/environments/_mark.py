"""The folder of a tool's environment: which one is ours, and which environment in it is whole.

Two files lie in it. The one that says it is ours is written first; nothing is deleted in a folder without it. The
mark names the environment that is whole. It is replaced when a new environment is complete, so the old one serves
until then.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from nwbpipe.environments._settings import tool_folder
from nwbpipe.environments._tool import Tool
from nwbpipe.errors import RequestError

_NAME = "nwbpipe-tool.json"
_OURS = "nwbpipe-made-this.txt"


class EnvironmentKind(StrEnum):
    """Where a tool's environment comes from."""

    CURRENT = "current"
    ISOLATED = "isolated"
    EXISTING = "existing"
    CONDA = "conda"
    CONTAINER = "container"


@dataclass(frozen=True)
class EnvironmentMark:
    """What an environment in the tools' folder is.

    Parameters
    ----------
    tool : str
    kind : Kind
        ISOLATED, CONDA or CONTAINER.
    lock : str, optional
        Name of the lock file that decided its versions.
    engine : str, optional
        Path of the program that made it (micromamba, docker, ...) and, for a container, runs it.
    image : str, optional
        Name, or for apptainer the file, of a container's image.
    environment : str
        Name of the environment's folder in the tool's folder; empty if it is that folder itself, as it was once.
    """

    tool: str
    kind: EnvironmentKind = EnvironmentKind.ISOLATED
    lock: str | None = None
    engine: str | None = None
    image: str | None = None
    environment: str = ""


def read_mark(tool: Tool) -> EnvironmentMark | None:
    """Return the mark of a tool's environment, if that is there and whole."""
    try:
        read = json.loads((tool_folder(tool) / _NAME).read_text())
        kind = EnvironmentKind(read.get("kind", EnvironmentKind.ISOLATED))
        return EnvironmentMark(
            read["tool"], kind, read.get("lock"), read.get("engine"), read.get("image"), read.get("environment", "")
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def environment_folder(tool: Tool, mark: EnvironmentMark) -> Path:
    """Return the folder of the environment that `mark` names."""
    return tool_folder(tool) / mark.environment


def is_ours(folder: Path) -> bool:
    """Return True if nwbpipe made `folder`, or if there is nothing at its place that could be lost."""
    if not folder.is_dir():
        return not os.path.lexists(folder)
    return any((folder / name).is_file() for name in (_OURS, _NAME)) or not any(folder.iterdir())


def claim(tool: Tool) -> Path:
    """Return the folder of a tool, made and marked as ours.

    Raises
    ------
    RequestError
        If something lies there that nwbpipe did not make.
    """
    folder = tool_folder(tool)
    if not is_ours(folder):
        msg = f"the folder of the tool {tool.name!r} was not made by nwbpipe, and is left alone"
        raise RequestError(
            msg,
            where=str(folder),
            expected=f"nothing, or a folder with {_NAME}",
            hint="move it elsewhere, or name another folder for the tools: NWBPIPE_TOOLS",
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _OURS).write_text("made by nwbpipe; `nwbpipe tools remove` deletes it with all that is in it\n")
    return folder


def write_mark(folder: Path, mark: EnvironmentMark) -> None:
    """Make the environment that `mark` names the one that counts, and delete the one before."""
    draft = folder / f"{_NAME}.new"
    draft.write_text(json.dumps(asdict(mark)))
    draft.replace(folder / _NAME)
    _delete_all_but({_NAME, _OURS, mark.environment}, folder)


def discard(folder: Path) -> None:
    """Delete a folder that :func:`claim` returned; the file that says it is ours goes last, as a kill may come."""
    (folder / _NAME).unlink(missing_ok=True)
    _delete_all_but({_OURS}, folder)
    (folder / _OURS).unlink()
    if folder.is_symlink():
        folder.unlink()
    else:
        folder.rmdir()


def _delete_all_but(kept: set[str], folder: Path) -> None:
    for path in folder.iterdir():
        if path.name in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
