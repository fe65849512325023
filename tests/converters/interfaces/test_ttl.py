"""TtlEventsInterface: pulses of lines whose truth is known, in every form of a file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nwbpipe.converters.interfaces import _ttl, interface_class
from nwbpipe.errors import SourceError
from tests.nwb_builders.nwb import empty_nwbfile, written

RATE = 1000.0
STARTS, STOPS = np.array([100, 500, 1200]), np.array([150, 520, 1300])


def ttl(path, **arguments):
    return interface_class("TtlEventsInterface")(
        file_path=path, **{"sampling_frequency": RATE, "event_name": "lick", **arguments}
    )


def line(starts=STARTS, stops=STOPS, count=2000):
    samples = np.zeros(count, np.int16)
    for start, stop in zip(starts, stops, strict=True):
        samples[start:stop] = 1
    return samples


def write(path, samples):
    wide = np.stack([np.arange(samples.size) % 7, samples * 5], axis=1).astype(np.int16)
    if path.suffix == ".npy":
        np.save(path, wide)
    elif path.suffix == ".bin":
        wide.tofile(path)
    elif path.suffix == ".csv":
        pd.DataFrame(wide, columns=["other", "lick"]).to_csv(path, index=False)
    else:
        pd.DataFrame(wide, columns=["other", "lick"]).to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.npy", {"channel": 1}),
        ("a.bin", {"channel": 1, "num_channels": 2, "dtype": "<i2"}),
        ("a.csv", {"channel": "lick"}),
        ("a.parquet", {"channel": 1}),
    ],
)
@pytest.mark.parametrize("block", [64, 4_000_000])
def test_every_form_gives_the_same_pulses(tmp_path, name, arguments, block, monkeypatch):
    monkeypatch.setattr(_ttl, "_BLOCK", block)
    found = ttl(write(tmp_path / name, line()), **arguments)
    np.testing.assert_array_equal(found.times, STARTS / RATE)
    np.testing.assert_allclose(found.durations, (STOPS - STARTS) / RATE)


def test_in_the_file(tmp_path):
    np.save(tmp_path / "a.npy", line())
    nwbfile = empty_nwbfile()
    ttl(tmp_path / "a.npy", metadata_key="licks").add_to_nwbfile(nwbfile)
    with written(nwbfile, tmp_path / "a.nwb") as read:
        table = read.events["licks"]
        np.testing.assert_array_equal(table["timestamp"].data[:], STARTS / RATE)
        assert list(table["event_type"].data[:]) == ["lick"] * 3


def test_bits_of_a_word_and_inverted_lines(tmp_path):
    word = line().astype(np.uint16) << 3 | (np.arange(2000) % 2).astype(np.uint16)
    np.save(tmp_path / "a.npy", word)
    np.testing.assert_array_equal(ttl(tmp_path / "a.npy", bit=3).times, STARTS / RATE)
    np.save(tmp_path / "b.npy", 1 - line())
    np.testing.assert_array_equal(ttl(tmp_path / "b.npy", inverted=True).times, STARTS / RATE)


def test_noise_within_the_hysteresis_changes_nothing(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, 2000)
    ramp = np.convolve(line() * 5.0, np.ones(5) / 5, mode="same") + noise
    np.save(tmp_path / "a.npy", ramp)
    assert ttl(tmp_path / "a.npy", threshold=2.5, hysteresis=1.0).times.size == 3
    with pytest.raises(SourceError, match="nothing says which samples are high"):
        ttl(tmp_path / "a.npy")


def test_bounces_by_named_rules(tmp_path):
    samples = line()
    samples[[110, 112]] = 0  # the switch bounces within the first pulse
    samples[700] = 1  # a spike
    np.save(tmp_path / "a.npy", samples)
    assert ttl(tmp_path / "a.npy").times.size == 6
    found = ttl(tmp_path / "a.npy", min_gap_s=0.005, min_duration_s=0.003)
    np.testing.assert_array_equal(found.times, STARTS / RATE)
    np.testing.assert_allclose(found.durations, (STOPS - STARTS) / RATE)
    assert found._notes == ["2 bounces under 0.005 s were joined", "1 pulses under 0.003 s were left out"]


def test_pulses_that_the_recording_cuts_off_have_no_length(tmp_path):
    np.save(tmp_path / "a.npy", line([0, 500, 1900], [10, 520, 2000]))
    found = ttl(tmp_path / "a.npy")
    np.testing.assert_array_equal(found.times, [0, 0.5, 1.9])
    np.testing.assert_array_equal(found.durations, [np.nan, 0.02, np.nan])
    assert "2 pulses are cut off" in found._notes[0]


@pytest.mark.parametrize(
    ("samples", "arguments", "message"),
    [
        (np.zeros(10), {}, "never changes"),
        (np.zeros(10), {"threshold": 1.0}, "has no pulses"),
        (line(), {"channel": 3}, "lacks the channel 3"),
        (line(), {"channel": -1}, "lacks the channel -1"),
        (line(), {"channel": "lick"}, "lacks the channel 'lick'"),
        (np.where(np.arange(2000) == 150, np.nan, line()), {}, "samples are missing"),
        (line(), {"sampling_frequency": 0.0}, "sampling_frequency has a wrong value"),
        (line(), {"min_duration_s": 1.0}, "has no pulses"),
    ],
)
def test_refused(tmp_path, samples, arguments, message):
    np.save(tmp_path / "a.npy", samples)
    with pytest.raises(SourceError, match=message):
        ttl(tmp_path / "a.npy", **arguments)


def test_a_table_without_the_channel(tmp_path):
    path = write(tmp_path / "a.csv", line())
    for channel in (2, -1):
        with pytest.raises(SourceError, match=f"lacks the channel {channel}") as caught:
            ttl(path, channel=channel)
        assert caught.value.problem.found == "the columns other, lick"
    path.write_text("lick\n0\n\n1\n0\n".replace("\n\n", '\n""\n'))
    with pytest.raises(SourceError, match="samples are missing") as caught:
        ttl(path)
    assert caught.value.problem.found == "the first in row 2 of 4"


def test_a_raw_file_of_another_size(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(33))
    with pytest.raises(SourceError, match="not that of whole samples") as caught:
        ttl(tmp_path / "a.bin", num_channels=2)
    assert caught.value.problem.found == "33 bytes"
    with pytest.raises(SourceError, match="unknown dtype"):
        ttl(tmp_path / "a.bin", dtype="int17")
