"""Many sessions: nwbpipe.toml, the plan, its execution and state."""

from nwbpipe.project._doctor import examine_folders, examine_project, examine_python
from nwbpipe.project._load import find_project, load_project
from nwbpipe.project._load_model import LoadedModel, load_model
from nwbpipe.project._model import ExecutorSpec, IgnoreRule, Policy, PublishSection, WorkerKind
from nwbpipe.project._project import Project, ProjectStatus
from nwbpipe.project._scrub import ScrubbedFile, scrub
from nwbpipe.project._sessions import Session, find_sessions, restrict
from nwbpipe.project._spec import ProjectSpec, Step
from nwbpipe.project._template import write_template
from nwbpipe.project._watch import Health, Watcher, render_systemd_unit, render_watch_dockerfile
from nwbpipe.project.execute import Capacity, Event, Executor, Job, JobOutcome, execute_job
from nwbpipe.project.submit import (
    JobState,
    PreparedSubmission,
    QueuedSubmission,
    Submission,
    SubmittedArray,
    cancel_submissions,
    list_queued,
    prepare_submission,
    submit_workers,
    write_cloud_jobs,
)

__all__ = [
    "Capacity",
    "Event",
    "Executor",
    "ExecutorSpec",
    "Health",
    "IgnoreRule",
    "Job",
    "JobOutcome",
    "JobState",
    "LoadedModel",
    "Policy",
    "PreparedSubmission",
    "Project",
    "ProjectSpec",
    "ProjectStatus",
    "PublishSection",
    "QueuedSubmission",
    "ScrubbedFile",
    "Session",
    "Step",
    "Submission",
    "SubmittedArray",
    "Watcher",
    "WorkerKind",
    "cancel_submissions",
    "examine_folders",
    "examine_project",
    "examine_python",
    "execute_job",
    "find_project",
    "find_sessions",
    "list_queued",
    "load_model",
    "load_project",
    "prepare_submission",
    "render_systemd_unit",
    "render_watch_dockerfile",
    "restrict",
    "scrub",
    "submit_workers",
    "write_cloud_jobs",
    "write_template",
]
