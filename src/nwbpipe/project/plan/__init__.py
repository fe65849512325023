"""What is done, what is missing or stale, and why."""

from nwbpipe.project.plan._planner import Planner
from nwbpipe.project.plan._state import CONVERT, SessionPlan, State, StepState

__all__ = ["CONVERT", "Planner", "SessionPlan", "State", "StepState"]
