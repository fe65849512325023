"""The demo: simulate sessions, convert and process them, and compare the results with the truth."""

from nwbpipe.demo._pose import run_pose_demo
from nwbpipe.demo._project import run_project_demo
from nwbpipe.demo._report import DemoReport, DemoScore, ProjectDemoReport
from nwbpipe.demo._run import run_demo

__all__ = ["DemoReport", "DemoScore", "ProjectDemoReport", "run_demo", "run_pose_demo", "run_project_demo"]
