"""Run what a plan says is missing."""

from nwbpipe.project.execute._runner import Reporter, Runner, RunOptions, RunSummary

__all__ = ["Reporter", "RunOptions", "RunSummary", "Runner"]
