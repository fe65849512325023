"""nwbpipe.toml: stores, sessions, steps and how they are executed."""

from nwbpipe.project._load import load_project
from nwbpipe.project._model import ExecutorSpec, Ignore, Policy, WorkerKind
from nwbpipe.project._sessions import Session, find_sessions, restrict
from nwbpipe.project._spec import ProjectSpec, Step
from nwbpipe.project._template import write_template

__all__ = [
    "ExecutorSpec",
    "Ignore",
    "Policy",
    "ProjectSpec",
    "Session",
    "Step",
    "WorkerKind",
    "find_sessions",
    "load_project",
    "restrict",
    "write_template",
]
