"""Set up each Dask worker on this machine."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(_worker: Any) -> None:
    """Ignore Ctrl-C, which a terminal sends to workers as well: the runner ends them in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
