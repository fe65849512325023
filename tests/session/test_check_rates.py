"""`check` finds rates that neither NWB nor DANDI refuses, and shortens what other libraries say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pytest

from nwbpipe.session._check import _shorten
from nwbpipe.session._check_rules import check_rates


def findings(tmp_path: Path, rate: Any) -> list[str]:
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file["acquisition/position/starting_time"] = 0.0
        file["acquisition/position/starting_time"].attrs["rate"] = rate
        return [str(finding.problem.where) for finding in check_rates(file)]


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 1e300, 1e-300, 0.0, -5.0, "fast", [1.0, 2.0]])
def test_a_rate_that_is_no_number_of_samples_per_second_is_found(tmp_path: Path, rate: Any) -> None:
    assert findings(tmp_path, rate) == ["/acquisition/position/starting_time"]


@pytest.mark.parametrize("rate", [0.001, 30, 30000.0])
def test_usual_rates_are_fine(tmp_path: Path, rate: float) -> None:
    assert findings(tmp_path, rate) == []


def test_a_traceback_becomes_its_last_line() -> None:
    assert _shorten("Traceback (most recent call last):\n  File x\nKeyError: 'a'") == "KeyError: 'a'"
    assert _shorten("one line\nand another") == "one line"
    assert _shorten("") == ""
