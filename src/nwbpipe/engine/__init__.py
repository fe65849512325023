"""Run steps on session files, and edit and check what they wrote."""

from nwbpipe.engine._check import Finding, Report, check
from nwbpipe.engine._compare import Comparison, Cost, Pair, compare
from nwbpipe.engine._curate import curate, curated_cells, read_labels
from nwbpipe.engine._edit import Removed, remove_step, rename_step, repack
from nwbpipe.engine._load import load
from nwbpipe.engine._process import Run, process
from nwbpipe.engine._project import Project, Status
from nwbpipe.engine._quality import (
    Judged,
    SessionQuality,
    imaging_steps,
    measure_quality,
    passed,
    unmeasured,
    verdicts,
)
from nwbpipe.engine._verify import Difference, verify_run
from nwbpipe.engine._watch import Health, Watcher, dockerfile, systemd_unit

__all__ = [
    "Comparison",
    "Cost",
    "Difference",
    "Finding",
    "Health",
    "Judged",
    "Pair",
    "Project",
    "Removed",
    "Report",
    "Run",
    "SessionQuality",
    "Status",
    "Watcher",
    "check",
    "compare",
    "curate",
    "curated_cells",
    "dockerfile",
    "imaging_steps",
    "load",
    "measure_quality",
    "passed",
    "process",
    "read_labels",
    "remove_step",
    "rename_step",
    "repack",
    "systemd_unit",
    "unmeasured",
    "verdicts",
    "verify_run",
]
