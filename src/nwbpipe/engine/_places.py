"""Where logs and scratch go."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import user_log_path


def log_folder() -> Path:
    """Folder of the tools' logs: ``NWBPIPE_LOGS``, or the user's log folder."""
    named = os.environ.get("NWBPIPE_LOGS")
    folder = Path(named) if named else user_log_path("nwbpipe", appauthor=False)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def scratch_folder() -> Path:
    """Folder of unfinished computations: ``NWBPIPE_SCRATCH``, or the user's own in the temporary folder."""
    named = os.environ.get("NWBPIPE_SCRATCH")
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(named) if named else Path(tempfile.gettempdir()) / f"nwbpipe-{user}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
