"""The folder of the tools' logs."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_log_path


def log_folder() -> Path:
    """Return the folder of the tools' logs: ``NWBPIPE_LOGS``, or the user's log folder."""
    chosen = os.environ.get("NWBPIPE_LOGS")
    folder = Path(chosen) if chosen else user_log_path("nwbpipe", appauthor=False)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
