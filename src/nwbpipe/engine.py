"""Old name of `nwbpipe.run`, `session`, `review` and `project`, kept for one release."""

from __future__ import annotations

from nwbpipe._old_names import find_old_names

_NEW_NAMES = {
    "project": {
        "Health": "Health",
        "Project": "Project",
        "Status": "ProjectStatus",
        "Watcher": "Watcher",
        "dockerfile": "render_watch_dockerfile",
        "systemd_unit": "render_systemd_unit",
    },
    "review": {
        "Comparison": "Comparison",
        "Cost": "StepCost",
        "Judged": "QualityVerdict",
        "Pair": "StepPair",
        "SessionQuality": "SessionQuality",
        "compare": "compare",
        "curate": "curate",
        "curated_cells": "read_curated_cells",
        "imaging_steps": "list_imaging_steps",
        "measure_quality": "measure_quality",
        "passed": "passed",
        "read_labels": "read_labels",
        "unmeasured": "list_unmeasured_steps",
        "verdicts": "verdicts",
    },
    "run": {
        "Difference": "Difference",
        "Run": "Run",
        "load": "load",
        "process": "process",
        "verify_run": "verify_run",
    },
    "session": {
        "Finding": "FileFinding",
        "Removed": "RemovalReport",
        "Report": "CheckReport",
        "check": "check",
        "remove_step": "remove_step",
        "rename_step": "rename_step",
        "repack": "repack",
    },
}

__getattr__ = find_old_names(
    __name__,
    {old: f"nwbpipe.{room}.{new}" for room, names in _NEW_NAMES.items() for old, new in names.items()},
)
