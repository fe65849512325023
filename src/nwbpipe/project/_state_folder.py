"""Make the folder of a project's state."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from nwbpipe.project._spec import ProjectSpec
from nwbpipe.stores import is_remote


def make_state_folder(project: ProjectSpec) -> None:
    """Make the folder of logs, leases and run objects; it is private, unless the project's folder is a group's."""
    root = project.stores["state"][0]
    if is_remote(root) or os.path.lexists(root):
        return
    is_shared = project.folder.stat().st_mode & 0o020
    with suppress(OSError):  # the first that writes there reports it
        Path(root).mkdir(parents=True, mode=0o777 if is_shared else 0o700)


def find_state_folder(project: ProjectSpec) -> Path:
    """Return the folder for files that other programs write: the project's state, if that is a folder."""
    root = project.stores["state"][0]
    return project.folder / ".nwbpipe" if is_remote(root) else Path(root)
