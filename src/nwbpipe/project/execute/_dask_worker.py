"""Loaded by each Dask worker that runs on this machine."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(_worker: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to workers as well, to the runner: it ends them in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
