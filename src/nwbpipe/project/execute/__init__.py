"""Run what a plan says is missing."""

from nwbpipe.project.execute._runner import Options, Reporter, Runner, Summary

__all__ = ["Options", "Reporter", "Runner", "Summary"]
