"""The file that says what an environment of ours is; written last, so one without it was interrupted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from nwbpipe.environments._settings import tool_folder
from nwbpipe.environments._tool import Tool

_NAME = "nwbpipe-tool.json"


class Kind(StrEnum):
    """Where a tool's environment comes from."""

    CURRENT = "current"
    ISOLATED = "isolated"
    EXISTING = "existing"
    CONDA = "conda"
    CONTAINER = "container"


@dataclass(frozen=True)
class Mark:
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
    """

    tool: str
    kind: Kind = Kind.ISOLATED
    lock: str | None = None
    engine: str | None = None
    image: str | None = None


def read_mark(tool: Tool) -> Mark | None:
    """Return the mark of a tool's environment, if that is there and whole."""
    try:
        read = json.loads((tool_folder(tool) / _NAME).read_text())
        kind = Kind(read.get("kind", Kind.ISOLATED))
        return Mark(read["tool"], kind, read.get("lock"), read.get("engine"), read.get("image"))
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def write_mark(folder: Path, mark: Mark) -> None:
    """Say that the environment in `folder` is whole."""
    (folder / _NAME).write_text(json.dumps(asdict(mark)))
