"""Many sessions: nwbpipe.toml, the plan, its execution and state."""

from nwbpipe.project._doctor import examine_folders, examine_project, examine_python
from nwbpipe.project._load import load_project
from nwbpipe.project._model import ExecutorSpec, IgnoreRule, Policy, PublishSection, WorkerKind
from nwbpipe.project._project import Project, ProjectStatus
from nwbpipe.project._scrub import ScrubbedFile, scrub
from nwbpipe.project._sessions import Session, find_sessions, restrict
from nwbpipe.project._spec import ProjectSpec, Step
from nwbpipe.project._template import write_template
from nwbpipe.project._watch import Health, Watcher, render_systemd_unit, render_watch_dockerfile
from nwbpipe.project.execute import Capacity, Event, Executor, Job, JobOutcome, execute_job

__all__ = [
    "Capacity",
    "Event",
    "Executor",
    "ExecutorSpec",
    "Health",
    "IgnoreRule",
    "Job",
    "JobOutcome",
    "Policy",
    "Project",
    "ProjectSpec",
    "ProjectStatus",
    "PublishSection",
    "ScrubbedFile",
    "Session",
    "Step",
    "Watcher",
    "WorkerKind",
    "examine_folders",
    "examine_project",
    "examine_python",
    "execute_job",
    "find_sessions",
    "load_project",
    "render_systemd_unit",
    "render_watch_dockerfile",
    "restrict",
    "scrub",
    "write_template",
]
