"""Run steps on session files, and edit and check what they wrote."""

from nwbpipe.engine._check import Finding, Report, check
from nwbpipe.engine._compare import Comparison, Cost, Pair, compare
from nwbpipe.engine._curate import curate, curated_cells, read_labels
from nwbpipe.engine._edit import Removed, remove_step, rename_step, repack
from nwbpipe.engine._load import load
from nwbpipe.engine._process import Run, process
from nwbpipe.engine._quality import Judged, imaging_steps, measure_quality, passed, verdicts

__all__ = [
    "Comparison",
    "Cost",
    "Finding",
    "Judged",
    "Pair",
    "Removed",
    "Report",
    "Run",
    "check",
    "compare",
    "curate",
    "curated_cells",
    "imaging_steps",
    "load",
    "measure_quality",
    "passed",
    "process",
    "read_labels",
    "remove_step",
    "rename_step",
    "repack",
    "verdicts",
]
