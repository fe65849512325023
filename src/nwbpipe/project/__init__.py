"""Many sessions: nwbpipe.toml, the plan, its execution and state."""

from nwbpipe.project._load import load_project
from nwbpipe.project._model import ExecutorSpec, Ignore, Policy, WorkerKind
from nwbpipe.project._project import Project, Status
from nwbpipe.project._sessions import Session, find_sessions, restrict
from nwbpipe.project._spec import ProjectSpec, Step
from nwbpipe.project._template import write_template
from nwbpipe.project._watch import Health, Watcher, dockerfile, systemd_unit

__all__ = [
    "ExecutorSpec",
    "Health",
    "Ignore",
    "Policy",
    "Project",
    "ProjectSpec",
    "Session",
    "Status",
    "Step",
    "Watcher",
    "WorkerKind",
    "dockerfile",
    "find_sessions",
    "load_project",
    "restrict",
    "systemd_unit",
    "write_template",
]
