"""Run steps on session files, and edit and check what they wrote."""

from nwbpipe.engine._check import Finding, Report, check
from nwbpipe.engine._edit import Removed, remove_step, rename_step, repack
from nwbpipe.engine._process import Run, process
from nwbpipe.engine._project import Project, Status
from nwbpipe.engine._verify import Difference, verify_run
from nwbpipe.engine._watch import Health, Watcher, dockerfile, systemd_unit

__all__ = [
    "Difference",
    "Finding",
    "Health",
    "Project",
    "Removed",
    "Report",
    "Run",
    "Status",
    "Watcher",
    "check",
    "dockerfile",
    "process",
    "remove_step",
    "rename_step",
    "repack",
    "systemd_unit",
    "verify_run",
]
