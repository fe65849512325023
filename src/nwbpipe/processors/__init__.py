"""Processors: a declaration in the core, a compute module in the tool's own Python, and a write."""

from nwbpipe.environments import Tool
from nwbpipe.processors._base import BoundInput, Context, Input, Loaded, Params, Processor, Results
from nwbpipe.processors._registry import processor, processor_names

__all__ = [
    "BoundInput",
    "Context",
    "Input",
    "Loaded",
    "Params",
    "Processor",
    "Results",
    "Tool",
    "processor",
    "processor_names",
]
