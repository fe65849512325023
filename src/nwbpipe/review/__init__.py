"""A person's look at results: compare methods, judge quality, curate."""

from nwbpipe.review._compare import Comparison, Cost, Pair, compare
from nwbpipe.review._curate import curate, curated_cells, read_labels
from nwbpipe.review._quality import (
    Judged,
    SessionQuality,
    imaging_steps,
    measure_quality,
    passed,
    session_quality,
    unmeasured,
    verdicts,
)

__all__ = [
    "Comparison",
    "Cost",
    "Judged",
    "Pair",
    "SessionQuality",
    "compare",
    "curate",
    "curated_cells",
    "imaging_steps",
    "measure_quality",
    "passed",
    "read_labels",
    "session_quality",
    "unmeasured",
    "verdicts",
]
