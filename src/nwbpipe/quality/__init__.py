"""Measures of the quality of data and results, a module a modality, each with its formula and its limits."""

from nwbpipe.quality._behavior import Behavior, BehaviorRules, Measure, behavior_quality

__all__ = ["Behavior", "BehaviorRules", "Measure", "behavior_quality"]
