"""A person's look at results: compare methods, judge quality, curate."""

from nwbpipe.review._compare import Comparison, StepCost, StepPair, compare
from nwbpipe.review._curate import curate, read_curated_cells, read_labels
from nwbpipe.review._quality import (
    QualityVerdict,
    SessionQuality,
    list_imaging_steps,
    list_unmeasured_steps,
    measure_quality,
    passed,
    read_session_quality,
    read_verdicts,
    verdicts,
)

__all__ = [
    "Comparison",
    "QualityVerdict",
    "SessionQuality",
    "StepCost",
    "StepPair",
    "compare",
    "curate",
    "list_imaging_steps",
    "list_unmeasured_steps",
    "measure_quality",
    "passed",
    "read_curated_cells",
    "read_labels",
    "read_session_quality",
    "read_verdicts",
    "verdicts",
]
