"""Submit the workers of a project to a cluster's scheduler, as job arrays that need nothing else running."""

from nwbpipe.project.submit._cloud_jobs import write_cloud_jobs
from nwbpipe.project.submit._queue import JobState, QueuedSubmission, cancel_submissions, list_queued
from nwbpipe.project.submit._submission import (
    PreparedSubmission,
    Submission,
    SubmittedArray,
    list_submissions,
    prepare_submission,
    submit_workers,
)

__all__ = [
    "JobState",
    "PreparedSubmission",
    "QueuedSubmission",
    "Submission",
    "SubmittedArray",
    "cancel_submissions",
    "list_queued",
    "list_submissions",
    "prepare_submission",
    "submit_workers",
    "write_cloud_jobs",
]
