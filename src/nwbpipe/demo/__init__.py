"""The demo: simulate sessions, convert them, process them, and hold the results to the truth."""

from nwbpipe.demo._project import run_project_demo
from nwbpipe.demo._report import DemoReport, DemoScore, ProjectDemoReport
from nwbpipe.demo._run import run_demo

__all__ = ["DemoReport", "DemoScore", "ProjectDemoReport", "run_demo", "run_project_demo"]
