"""Processors: a declaration in the core, a compute module in the tool's own Python, and a write."""

from nwbpipe.environments import Tool
from nwbpipe.processors._base import (
    BoundInput,
    Context,
    Input,
    Loaded,
    Loader,
    Params,
    Processor,
    ReportFigure,
    Results,
    StepResult,
)
from nwbpipe.processors._project_scope import Artefact, Folder, ProjectProcessor
from nwbpipe.processors._registry import list_tools, processor, processor_names
from nwbpipe.processors._resources import Resources
from nwbpipe.processors._source import computes_same, hash_compute_code
from nwbpipe.processors._validation import validate_params

__all__ = [
    "Artefact",
    "BoundInput",
    "Context",
    "Folder",
    "Input",
    "Loaded",
    "Loader",
    "Params",
    "Processor",
    "ProjectProcessor",
    "ReportFigure",
    "Resources",
    "Results",
    "StepResult",
    "Tool",
    "computes_same",
    "hash_compute_code",
    "list_tools",
    "processor",
    "processor_names",
    "validate_params",
]
