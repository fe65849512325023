"""Measures of the quality of data and results, a module a modality, each with its formula and its limits."""

from nwbpipe.quality._behavior import Behavior, BehaviorRules, Measure, behavior_quality
from nwbpipe.quality._imaging_thresholds import default_thresholds, known_metrics
from nwbpipe.quality._thresholds import ThresholdSet, Verdict, read_thresholds

__all__ = [
    "Behavior",
    "BehaviorRules",
    "Measure",
    "ThresholdSet",
    "Verdict",
    "behavior_quality",
    "default_thresholds",
    "known_metrics",
    "read_thresholds",
]
