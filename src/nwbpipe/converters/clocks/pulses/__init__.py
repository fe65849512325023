"""Match the pulses that two devices both recorded, and align their clocks by them. numpy only."""

from __future__ import annotations

from nwbpipe.converters.clocks.pulses._hypothesis import Hypothesis
from nwbpipe.converters.clocks.pulses._intervals import IntervalMatch, match_intervals
from nwbpipe.converters.clocks.pulses._lines import LinearMap, LineFit, PiecewiseMap, fit_line
from nwbpipe.converters.clocks.pulses._matching import PulseMatch, match_pulses

__all__ = [
    "Hypothesis",
    "IntervalMatch",
    "LineFit",
    "LinearMap",
    "PiecewiseMap",
    "PulseMatch",
    "fit_line",
    "match_intervals",
    "match_pulses",
]
