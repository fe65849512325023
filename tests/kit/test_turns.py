"""Directions are told from angles that go on, and read over the end of a turn."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe_kit.turns import find_turns

TURN = 2 * np.pi


def test_each_column_is_judged_by_itself() -> None:
    time = np.arange(100) / 10
    angles = np.column_stack([np.angle(np.exp(1j * time)), np.mod(time, TURN), time * 2, np.sin(time)])
    angles[5:9, 0] = np.nan
    turns = find_turns("radians", [angles[:7], angles[7:60], angles[60:]])
    assert turns is not None
    unwrapped = turns.unwrap(angles)
    known = np.isfinite(angles[:, 0])
    np.testing.assert_allclose(unwrapped[known, 0], time[known])
    np.testing.assert_allclose(unwrapped[:, 1:], np.column_stack([time, time * 2, np.sin(time)]))
    np.testing.assert_allclose(turns.wrap(unwrapped), angles)
    gathered = turns.gather(np.array([[np.pi - 0.1, 6.2, 50.0, 0.0], [0.1 - np.pi, 0.1, 1.0, np.nan]]))
    np.testing.assert_allclose(np.abs(gathered[:, 0]).sum(), TURN)
    np.testing.assert_allclose(np.diff(gathered[:, :3], axis=0), [[0.2, TURN - 6.1, -49]])


@pytest.mark.parametrize(
    "angles",
    [np.arange(100) / 10, np.sin(np.arange(100) / 10), np.full(5, np.nan)],
    ids=["wheel", "joint", "nothing"],
)
def test_what_does_not_begin_again_is_no_direction(angles: np.ndarray) -> None:
    assert find_turns("radians", [angles[:, None]]) is None


def test_a_jump_between_two_blocks_is_seen() -> None:
    assert find_turns("degrees", [np.array([[350.0], [359.0]]), np.array([[1.0], [2.0]])]) is not None


def test_samples_of_another_unit_are_not_read() -> None:
    assert find_turns("pixels", (np.full(1, 1 / 0) for _ in range(1))) is None
