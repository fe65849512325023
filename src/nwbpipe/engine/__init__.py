"""Run steps on session files, and edit and check what they wrote."""

from nwbpipe.engine._check import Finding, Report, check
from nwbpipe.engine._edit import Removed, remove_step, rename_step, repack
from nwbpipe.engine._process import Run, process
from nwbpipe.engine._project import Project, Status

__all__ = [
    "Finding",
    "Project",
    "Removed",
    "Report",
    "Run",
    "Status",
    "check",
    "process",
    "remove_step",
    "rename_step",
    "repack",
]
