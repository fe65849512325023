"""Measures of the quality of data and results, a module a modality, each with its formula and its limits."""

from nwbpipe.quality._imaging_thresholds import default_thresholds, known_metrics
from nwbpipe.quality._thresholds import ThresholdSet, Verdict, read_thresholds

__all__ = ["ThresholdSet", "Verdict", "default_thresholds", "known_metrics", "read_thresholds"]
