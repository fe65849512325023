"""pyPhotometry, against the bytes of its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.examples.checking import Converted, assert_blocks_equal, check_session, times_of

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
NAME = "m53_NAc_L-2019-11-24-093939.ppd"


@pytest.fixture
def session(convert_example: Callable[[str], Converted]) -> Converted:
    return convert_example("pyphotometry")


@pytest.fixture
def recording(raw_store: Path) -> tuple[dict, np.ndarray]:
    """Header, and the words: two signals in turn, each in the upper 15 bits, a digital input in the lowest."""
    content = (raw_store / "photometry" / "pyphotometry" / NAME).read_bytes()
    size = int.from_bytes(content[:2], "little")
    header = json.loads(content[2 : 2 + size])
    assert header["mode"] == "2 colour time div."
    return header, np.frombuffer(content[2 + size :], "<u2").reshape(-1, 2)


def test_session(session: Converted) -> None:
    check_session(session)


@pytest.mark.parametrize(("source", "column"), [("green", 0), ("red", 1)])
def test_signal(session: Converted, recording: tuple[dict, np.ndarray], source: str, column: int) -> None:
    header, words = recording
    volts = (words[:, column] >> 1) * header["volts_per_division"][column]
    # The box samples the two signals in turn, half a period apart.
    times = (np.arange(len(words)) + column / 2) / header["sampling_rate"]
    with session.open() as file:
        series = file[f"acquisition/FiberPhotometryResponseSeries_{source}"]
        assert_blocks_equal(series["data"], volts, rtol=1e-12)
        assert series["data"].attrs["conversion"] == 1
        np.testing.assert_allclose(times_of(series), times, atol=1e-6, rtol=0)


@pytest.mark.parametrize("column", [0, 1])
def test_pulses(session: Converted, recording: tuple[dict, np.ndarray], column: int) -> None:
    header, words = recording
    high = (words[:, column] & 1).astype(int)
    edges = np.diff(high, prepend=0)
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    with session.open() as file:
        table = file[f"events/Digital{column + 1}"]
        times, durations = table["timestamp"][()], table["duration"][()]
    assert len(times) == len(starts)
    np.testing.assert_allclose(times, (starts + column / 2) / header["sampling_rate"], atol=1e-6, rtol=0)
    whole = slice(0, len(stops))
    np.testing.assert_allclose(durations[whole], (stops - starts[whole]) / header["sampling_rate"], atol=1e-6, rtol=0)


def test_pulses_follow_the_cues(session: Converted, raw_store: Path) -> None:
    """137 cues of the task computer, each followed by a pulse: the two clocks differ by a constant."""
    cues = np.load(raw_store / "photometry" / "pyphotometry" / "reward_cue_times.npy", allow_pickle=False)
    with session.open() as file:
        pulses = file["events/Digital1/timestamp"][()]
    assert len(cues) == len(pulses) == 137
    assert np.polyfit(cues, pulses, 1)[0] == pytest.approx(1, abs=1e-4)
