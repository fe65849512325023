"""The scores of a demo, held to their bounds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nwbpipe.demo import DemoReport, DemoScore


@pytest.mark.parametrize(
    ("row", "passed"),
    [
        (DemoScore("a", "b", 0.9, 0.9), True),
        (DemoScore("a", "b", 0.89, 0.9), False),
        (DemoScore("a", "b", 0.5, 0.5, True), True),
        (DemoScore("a", "b", 0.51, 0.5, True), False),
        (DemoScore("a", "b", math.nan, 0.9), False),
        (DemoScore("a", "b", math.nan, 0.9, True), False),
        (DemoScore("a", "b", math.inf, 1.0, True), False),
    ],
)
def test_bounds(row: DemoScore, passed: bool) -> None:
    assert row.passed is passed
    assert DemoReport((row,), Path("x.nwb"), None, None, 1.0).passed is passed
