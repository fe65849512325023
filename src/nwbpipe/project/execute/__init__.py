"""Run the steps that a plan finds missing or stale."""

from nwbpipe.project.execute._devices import list_gpus
from nwbpipe.project.execute._executor import Capacity, Event, Executor
from nwbpipe.project.execute._run_job import Job, JobOutcome, execute_job
from nwbpipe.project.execute._runner import Reporter, Runner, RunOptions, RunSummary

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
