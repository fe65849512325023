"""Plan a project: find the state of each step, and the reason for it."""

from nwbpipe.project.plan._planner import Planner
from nwbpipe.project.plan._state import CONVERT, STATE_MARKS, SessionPlan, State, StepState

__all__ = ["CONVERT", "STATE_MARKS", "Planner", "SessionPlan", "State", "StepState"]
