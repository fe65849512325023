"""Pulses that two devices both recorded: which are the same, and what that says of the clocks. numpy only."""

from __future__ import annotations

from nwbpipe.converters.pulses._hypothesis import Hypothesis
from nwbpipe.converters.pulses._lines import Fit, Line, Pieces, fit_line
from nwbpipe.converters.pulses._matching import Match, match_pulses
from nwbpipe.converters.pulses._sequence import Sequence, match_intervals

__all__ = ["Fit", "Hypothesis", "Line", "Match", "Pieces", "Sequence", "fit_line", "match_intervals", "match_pulses"]
