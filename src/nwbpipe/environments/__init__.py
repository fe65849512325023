"""Tool environments: declare a tool, find or create what has it, and run a computation in it."""

from nwbpipe.environments._container import dockerfile, write_context
from nwbpipe.environments._doctor import Finding, Verdict, examine, examine_machine
from nwbpipe.environments._find import ToolEnvironment, find
from nwbpipe.environments._install import how_to_get, install, remove
from nwbpipe.environments._lock import lock_tool
from nwbpipe.environments._mark import Kind
from nwbpipe.environments._run import Outcome, run, source_of
from nwbpipe.environments._settings import ToolSettings, configure, default_lock, settings_of, tool_folder
from nwbpipe.environments._tool import Checkout, Program, Tool, Weights

__all__ = [
    "Checkout",
    "Finding",
    "Kind",
    "Outcome",
    "Program",
    "Tool",
    "ToolEnvironment",
    "ToolSettings",
    "Verdict",
    "Weights",
    "configure",
    "default_lock",
    "dockerfile",
    "examine",
    "examine_machine",
    "find",
    "how_to_get",
    "install",
    "lock_tool",
    "remove",
    "run",
    "settings_of",
    "source_of",
    "tool_folder",
    "write_context",
]
