"""Measures of the quality of data and results, a module a modality, each with its formula and its limits."""

from nwbpipe._old_names import find_old_names
from nwbpipe.quality._behavior import BehaviorData, BehaviorMeasure, BehaviorRules, measure_behavior
from nwbpipe.quality._imaging_thresholds import default_thresholds, list_metrics
from nwbpipe.quality._thresholds import ThresholdSet, Verdict, read_thresholds

__getattr__ = find_old_names(
    __name__,
    {
        "Behavior": "nwbpipe.quality.BehaviorData",
        "Measure": "nwbpipe.quality.BehaviorMeasure",
        "behavior_quality": "nwbpipe.quality.measure_behavior",
        "known_metrics": "nwbpipe.quality.list_metrics",
    },
)

__all__ = [
    "BehaviorData",
    "BehaviorMeasure",
    "BehaviorRules",
    "ThresholdSet",
    "Verdict",
    "default_thresholds",
    "list_metrics",
    "measure_behavior",
    "read_thresholds",
]
