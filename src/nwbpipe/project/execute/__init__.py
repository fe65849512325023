"""Run the steps that a plan finds missing or stale."""

from nwbpipe.project.execute._devices import list_gpus
from nwbpipe.project.execute._executor import Capacity, Event, Executor
from nwbpipe.project.execute._run_job import Job, JobOutcome, execute_job
from nwbpipe.project.execute._run_options import Reporter, RunOptions, RunSummary
from nwbpipe.project.execute._runner import Runner

__all__ = [
    "Capacity",
    "Event",
    "Executor",
    "Job",
    "JobOutcome",
    "Reporter",
    "RunOptions",
    "RunSummary",
    "Runner",
    "execute_job",
    "list_gpus",
]
