"""wheel: a simulated wheel whose movements are known."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.processors import processor
from nwbpipe.processors.behavior import WheelParams
from nwbpipe.processors.behavior import _wheel_compute as module
from nwbpipe.testing import ProcessorTests
from tests.processors.behavior.session import write_session

pytest_plugins = ("tests.fixtures.processing",)

TURN = 2 * np.pi
PARAMS = {**WheelParams().model_dump(), "threshold": 0.012, "onset_threshold": 0.0023}


def simulated(seed=0, count=30):
    """Movements with a raised-cosine velocity: onsets, lengths and ways; and what an encoder of 4096 steps writes."""
    generator = np.random.default_rng(seed)
    lengths = generator.uniform(0.2, 1.0, count)
    rests = generator.uniform(0.5, 2.0, count + 1)
    onsets = np.cumsum(rests[:-1]) + np.concatenate([[0], np.cumsum(lengths[:-1])])
    ways = generator.uniform(0.3, 3.0, count) * generator.choice([-1, 1], count)
    times = np.arange(0, onsets[-1] + lengths[-1] + rests[-1], 2e-4)
    position = np.zeros(times.size)
    for onset, length, way in zip(onsets, lengths, ways, strict=True):
        phase = np.clip((times - onset) / length, 0, 1)
        position += way * (phase - np.sin(TURN * phase) / TURN)
    counts = np.round(position / TURN * 4096).astype(int)
    written = np.flatnonzero(np.append(True, np.diff(counts) != 0))
    return onsets, lengths, ways, times, position, times[written], counts[written]


class TestMovementsOfAnEncoder(ProcessorTests):
    processor = processor("wheel")

    def write_session(self, path):
        *_, sampled, counts = simulated()
        write_session(path, wheel={"data": counts, "timestamps": sampled, "conversion": TURN / 4096})

    def check_results(self, nwbfile, step):
        onsets, lengths, ways, times, position, *_ = simulated()
        found = nwbfile.processing["behavior"][f"WheelMovements_{step}"]
        start, stop = found["start_time"].data[:], found["stop_time"].data[:]
        assert len(found) == onsets.size  # every one, and no other
        # A raised cosine begins slowly: it has gone 0.0023 rad after some hundredths of a second.
        gone = onsets + 0.0023 / np.abs(ways) * lengths
        assert np.median(np.abs(start - gone)) < 0.06
        assert np.abs(start - onsets).max() < 0.15
        assert np.abs(stop - onsets - lengths).max() < 0.15
        np.testing.assert_allclose(found["displacement"].data[:], ways, atol=0.02)
        peak = 2 * ways / lengths
        np.testing.assert_allclose(found["peak_velocity"].data[:], peak, rtol=0.05)
        assert np.abs(found["peak_time"].data[:] - onsets - lengths / 2).max() < 0.03
        series = nwbfile.processing["behavior"][f"WheelPosition_{step}"]
        at = series.starting_time + np.arange(series.data.shape[0]) / series.rate
        assert np.abs(series.data[:] - np.interp(at, times, position)).max() < 2.5 * TURN / 4096
        velocity = nwbfile.processing["behavior"][f"WheelVelocity_{step}"]
        assert velocity.unit == "radians/second"


def test_velocity_of_a_sine():
    rate, frequency = 1000.0, 2.0
    times = np.arange(5000) / rate
    found = module.compute_velocity(np.sin(TURN * frequency * times), rate, 20.0)
    truth = TURN * frequency * np.cos(TURN * frequency * times)
    assert np.abs(found - truth)[200:-200].max() < 0.01 * TURN * frequency


def test_a_silent_encoder_stands_still():
    """Two samples 10 s apart and a turn between: the wheel did not creep for 10 s."""
    start, position = module.resample(np.array([0.0, 10.0]), np.array([0.0, 1.0]), 100.0, 0.1)
    assert start == 0.0
    assert (position[: int(9.9 * 100)] == 0).all()
    assert position[-1] == 1.0


def test_noise_of_one_step_is_no_movement():
    generator = np.random.default_rng(0)
    assert module.find_bouts(generator.integers(0, 2, 20_000) * TURN / 4096, 1000.0, PARAMS).size == 0


def test_close_movements_are_one_and_short_ones_none():
    position = np.zeros(3000)
    position[1000:1100] = np.linspace(0, 1, 100)
    position[1100:1150] = 1
    position[1150:1250] = np.linspace(1, 2, 100)
    position[1250:] = 2
    (span,) = module.find_bouts(position, 1000.0, PARAMS)
    assert abs(span[0] - 1000) <= 2
    assert abs(span[1] - 1249) <= 2
    jump = np.where(np.arange(3000) < 1500, 0.0, 0.02)
    assert module.find_bouts(jump, 1000.0, PARAMS).size == 0
    assert module.find_bouts(jump, 1000.0, {**PARAMS, "min_duration_s": 0}).shape == (1, 2)


def test_what_is_no_wheel_is_refused(tmp_path):
    path = write_session(
        tmp_path / "a.nwb",
        wide={"data": np.zeros((10, 2)), "rate": 10.0},
        meters={"data": np.arange(10.0), "rate": 10.0, "unit": "meters"},
        backwards={"data": np.arange(3.0), "timestamps": [0.0, 2.0, 1.0]},
    )
    for name, message in (
        ("wide", "not a position"),
        ("meters", "what a movement is"),
        ("backwards", "don't increase"),
    ):
        with pytest.raises(InputError, match=message):
            nwbpipe.process(path, "wheel", inputs={"position": name})
    with pytest.raises(ValidationError, match="not below half"):
        WheelParams(rate_hz=30, lowpass_hz=20)
    with pytest.raises(ValidationError, match="or neither"):
        WheelParams(threshold=1)
