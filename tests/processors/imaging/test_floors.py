"""suite2p on the easy and the hard simulated movie, held to the floors of issue 4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import nwbpipe
from nwbpipe.environments import ToolEnvironment
from nwbpipe.review import StepPair, compare
from nwbpipe.simulate import EASY, HARD, TwoPhotonSettings, simulate_two_photon

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("own_places")]
PARAMS = {"tau": 0.7, "nimg_init": 200}


def result(path: Path, what: TwoPhotonSettings, params: dict[str, object]) -> StepPair:
    simulate_two_photon(path, what)
    nwbpipe.process(path, "suite2p", params=params)
    (pair,) = compare(path, "suite2p").pairs
    return pair


def test_the_easy_movie(tmp_path: Path, tool: Callable[[str], ToolEnvironment]) -> None:
    tool("suite2p")
    pair = result(tmp_path / "easy.nwb", EASY, PARAMS)
    assert pair.recall >= 0.95, pair
    assert pair.precision >= 0.95, pair
    assert pair.iou >= 0.8, pair
    assert pair.trace_r >= 0.95, pair
    assert pair.activity_r >= 0.85, pair
    assert pair.motion_rms <= 0.35, pair


def test_the_hard_movie(tmp_path: Path, tool: Callable[[str], ToolEnvironment]) -> None:
    """With the default threshold of detection a quarter of its dim cells is missed: recall 0.75."""
    tool("suite2p")
    pair = result(tmp_path / "hard.nwb", HARD, {**PARAMS, "block_size": (64, 64), "threshold_scaling": 0.7})
    assert pair.recall >= 0.8, pair
    assert pair.precision >= 0.8, pair
    assert pair.iou >= 0.7, pair
