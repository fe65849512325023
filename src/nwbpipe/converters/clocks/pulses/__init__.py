"""Pulses that two devices both recorded: which are the same, and what that says of the clocks. numpy only."""

from __future__ import annotations

from nwbpipe.converters.clocks.pulses._hypothesis import Hypothesis
from nwbpipe.converters.clocks.pulses._intervals import Sequence, match_intervals
from nwbpipe.converters.clocks.pulses._lines import Fit, Line, Pieces, fit_line
from nwbpipe.converters.clocks.pulses._matching import Match, match_pulses

__all__ = ["Fit", "Hypothesis", "Line", "Match", "Pieces", "Sequence", "fit_line", "match_intervals", "match_pulses"]
