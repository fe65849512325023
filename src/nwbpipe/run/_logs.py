"""Where logs go."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_log_path


def log_folder() -> Path:
    """Folder of the tools' logs: ``NWBPIPE_LOGS``, or the user's log folder."""
    named = os.environ.get("NWBPIPE_LOGS")
    folder = Path(named) if named else user_log_path("nwbpipe", appauthor=False)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
