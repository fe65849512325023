"""The demo: simulate a session, convert it, process it, and hold the result to the truth."""

from nwbpipe.demo._report import Report, Row
from nwbpipe.demo._run import run_demo

__all__ = ["Report", "Row", "run_demo"]
