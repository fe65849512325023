"""Old name of `nwbpipe.run`, `session`, `review` and `project`, kept for one release."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

_ROOMS = {
    "Comparison": "review",
    "Cost": "review",
    "Difference": "run",
    "Finding": "session",
    "Health": "project",
    "Judged": "review",
    "Pair": "review",
    "Project": "project",
    "Removed": "session",
    "Report": "session",
    "Run": "run",
    "SessionQuality": "review",
    "Status": "project",
    "Watcher": "project",
    "check": "session",
    "compare": "review",
    "curate": "review",
    "curated_cells": "review",
    "dockerfile": "project",
    "imaging_steps": "review",
    "load": "run",
    "measure_quality": "review",
    "passed": "review",
    "process": "run",
    "read_labels": "review",
    "remove_step": "session",
    "rename_step": "session",
    "repack": "session",
    "systemd_unit": "project",
    "unmeasured": "review",
    "verdicts": "review",
    "verify_run": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    new = f"nwbpipe.{_ROOMS[name]}"
    msg = f"nwbpipe.engine will go in the next release: import {name} from {new}"
    warnings.warn(msg, FutureWarning, stacklevel=2)
    return getattr(import_module(new), name)
