"""What is done, what is missing or stale, and why."""

from nwbpipe.engine.plan._planner import Planner
from nwbpipe.engine.plan._state import CONVERT, SessionPlan, State, StepState

__all__ = ["CONVERT", "Planner", "SessionPlan", "State", "StepState"]
