"""Run steps on session files, and edit and check what they wrote."""

from nwbpipe.engine._check import Finding, Report, check
from nwbpipe.engine._edit import Removed, remove_step, rename_step, repack
from nwbpipe.engine._load import load
from nwbpipe.engine._process import Run, process

__all__ = ["Finding", "Removed", "Report", "Run", "check", "load", "process", "remove_step", "rename_step", "repack"]
