"""Tool environments: declare a tool, find or create the Python that has it, and run a computation in it."""

from nwbpipe.environments._find import Kind, ToolEnvironment, find, variable
from nwbpipe.environments._install import install, remove, tool_folder
from nwbpipe.environments._run import Outcome, run, source_of
from nwbpipe.environments._tool import Tool

__all__ = [
    "Kind",
    "Outcome",
    "Tool",
    "ToolEnvironment",
    "find",
    "install",
    "remove",
    "run",
    "source_of",
    "tool_folder",
    "variable",
]
