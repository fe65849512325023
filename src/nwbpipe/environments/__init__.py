"""Tool environments: declare a tool, find or create its environment, and run a computation in it."""

from nwbpipe.environments._doctor import examine, examine_machine
from nwbpipe.environments._find import ToolEnvironment, find, read_version
from nwbpipe.environments._image import render_dockerfile, write_context
from nwbpipe.environments._install import describe_installation, install, remove
from nwbpipe.environments._lock import lock_tool
from nwbpipe.environments._mark import EnvironmentKind
from nwbpipe.environments._run import KIT, ComputeResult, end_earlier_container, find_source, run
from nwbpipe.environments._settings import (
    ToolSettings,
    configure,
    configured_python,
    default_lock,
    limit_memory,
    read_settings,
    tool_folder,
    use_settings,
)
from nwbpipe.environments._tool import Checkout, Program, Tool, Weights
from nwbpipe.environments._viewers import NWBWIDGETS

__all__ = [
    "KIT",
    "NWBWIDGETS",
    "Checkout",
    "ComputeResult",
    "EnvironmentKind",
    "Program",
    "Tool",
    "ToolEnvironment",
    "ToolSettings",
    "Weights",
    "configure",
    "configured_python",
    "default_lock",
    "describe_installation",
    "end_earlier_container",
    "examine",
    "examine_machine",
    "find",
    "find_source",
    "install",
    "limit_memory",
    "lock_tool",
    "read_settings",
    "read_version",
    "remove",
    "render_dockerfile",
    "run",
    "tool_folder",
    "use_settings",
    "write_context",
]
