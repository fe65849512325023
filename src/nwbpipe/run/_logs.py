"""The folder of the tools' logs."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_log_path

from nwbpipe.machine import make_private_folder


def log_folder() -> Path:
    """Return the folder of the tools' logs: ``NWBPIPE_LOGS``, or the user's log folder."""
    chosen = os.environ.get("NWBPIPE_LOGS")
    folder = Path(chosen) if chosen else user_log_path("nwbpipe", appauthor=False)
    return make_private_folder(folder, variable="NWBPIPE_LOGS", named=bool(chosen))
