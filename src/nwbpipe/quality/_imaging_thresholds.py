"""Thresholds of imaging: the metrics that there are, and the set that is used where none is given."""

from __future__ import annotations

from nwbpipe.quality._thresholds import ThresholdSet
from nwbpipe_kit.imaging_metrics import MASK_METRICS, SCAN_METRICS, TRACE_METRICS

#: Metrics by what they are of.
KNOWN = {"roi": {**MASK_METRICS, **TRACE_METRICS}, "scan": SCAN_METRICS}

_DEFAULT = {
    "name": "imaging 1",
    "roi": {
        "overlap": {"warn_above": 0.5, "fail_above": 0.9},
        "border_contact": {"warn_above": 0.0},
        "roundness": {"warn_below": 0.3},
        "skewness": {"warn_below": 0.3},
        "snr": {"warn_below": 0.3, "fail_below": 0.05},
        "noise_level": {"warn_above": 8.0},
        "baseline_drift": {"warn_below": -0.5, "warn_above": 0.5},
    },
    "scan": {
        "bleaching": {"warn_below": -0.02, "fail_below": -0.1},
        "brightness_jumps": {"warn_above": 0, "fail_above": 10},
        "focus_jumps": {"warn_above": 0, "fail_above": 5},
        "saturation_share": {"warn_above": 1e-4, "fail_above": 1e-2},
        "constant_frames": {"warn_above": 0},
        "motion_p95": {"warn_above": 5.0, "fail_above": 20.0},
        "gaps": {"warn_above": 0},
    },
}


def list_metrics() -> dict[str, dict[str, str]]:
    """Return the metrics that there are, with what each is, by what they are of (``roi``, ``scan``)."""
    return {of: dict(metrics) for of, metrics in KNOWN.items()}


def default_thresholds() -> ThresholdSet:
    """Return the set that is used where none is given: mild, for two photons and GCaMP; a lab should have its own."""
    return ThresholdSet.from_dict(_DEFAULT, KNOWN)
