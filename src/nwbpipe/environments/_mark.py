"""The folder of a tool: mark it as ours, and name the complete environment in it.

It holds two files. The first marks the folder as ours; nothing is deleted in a folder without it. The second, the
mark, names the complete environment. It is replaced when a new environment is complete: until then the old one is
used.
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
    """Kind of a tool's environment."""

    CURRENT = "current"
    ISOLATED = "isolated"
    EXISTING = "existing"
    CONDA = "conda"
    CONTAINER = "container"


@dataclass(frozen=True)
class EnvironmentMark:
    """Description of an environment in the tools' folder.

    Parameters
    ----------
    tool : str
    kind : EnvironmentKind
        ISOLATED, CONDA or CONTAINER.
    lock : str, optional
        Name of the lock file with its versions.
    engine : str, optional
        Path of the program that made it (micromamba, docker, ...) and, for a container, runs it.
    image : str, optional
        Id of a container's image; for apptainer its file.
    environment : str
        Name of the environment's folder in the tool's folder; empty for older environments, which are that folder.
    base : str, optional
        Digest of the image that a container was built from.
    """

    tool: str
    kind: EnvironmentKind = EnvironmentKind.ISOLATED
    lock: str | None = None
    engine: str | None = None
    image: str | None = None
    environment: str = ""
    base: str | None = None


def read_mark(tool: Tool) -> EnvironmentMark | None:
    """Return the mark of a tool's environment, or None if there is no complete environment."""
    try:
        values = json.loads((tool_folder(tool) / _NAME).read_text())
        kind = EnvironmentKind(values.get("kind", EnvironmentKind.ISOLATED))
        return EnvironmentMark(
            values["tool"],
            kind,
            values.get("lock"),
            values.get("engine"),
            values.get("image"),
            values.get("environment", ""),
            values.get("base"),
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def environment_folder(tool: Tool, mark: EnvironmentMark) -> Path:
    """Return the folder of the environment that `mark` names."""
    return tool_folder(tool) / mark.environment


def is_ours(folder: Path) -> bool:
    """Return True if nwbpipe made `folder`, or if the folder is missing or empty."""
    if not folder.is_dir():
        return not os.path.lexists(folder)
    return any((folder / name).is_file() for name in (_OURS, _NAME)) or not any(folder.iterdir())


def claim(tool: Tool) -> Path:
    """Create the folder of a tool, mark it as ours and return it.

    Raises
    ------
    RequestError
        The folder exists, and nwbpipe did not make it.
    """
    folder = tool_folder(tool)
    if not is_ours(folder):
        msg = f"the folder of the tool {tool.name!r} was not made by nwbpipe, and is left alone"
        raise RequestError(
            msg,
            where=str(folder),
            expected=f"no folder, or a folder with {_NAME}",
            hint="move it elsewhere, or set another folder for the tools: NWBPIPE_TOOLS",
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _OURS).write_text("made by nwbpipe; `nwbpipe tools remove` deletes this folder and all its files\n")
    return folder


def write_mark(folder: Path, mark: EnvironmentMark) -> None:
    """Make the environment of `mark` the current one, and delete the older one."""
    draft = folder / f"{_NAME}.new"
    draft.write_text(json.dumps(asdict(mark)))
    draft.replace(folder / _NAME)
    _delete_all_but({_NAME, _OURS, mark.environment}, folder)


def discard(folder: Path) -> None:
    """Delete a folder that :func:`claim` returned; the file that marks it as ours last, in case of a kill."""
    (folder / _NAME).unlink(missing_ok=True)
    _delete_all_but({_OURS}, folder)
    (folder / _OURS).unlink()
    if folder.is_symlink():
        folder.unlink()
    else:
        folder.rmdir()


def _delete_all_but(names: set[str], folder: Path) -> None:
    for path in folder.iterdir():
        if path.name in names:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
