"""Open Ephys binary, ADC, MountainSort units and the Arduino log, against numpy and plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.examples.checking import Converted, assert_blocks_equal, check_session, ragged, times_of

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
FIRST_SAMPLE = 28892
RATE = 30000.0


@pytest.fixture
def session(convert_example: Callable[[str], Converted]) -> Converted:
    return convert_example("ephys_behavior_session")


@pytest.fixture
def folder(raw_store: Path) -> Path:
    return raw_store / "ephys_behavior_session" / "jdb_to_nwb"


@pytest.fixture
def recording(folder: Path) -> tuple[np.ndarray, np.ndarray, list[dict]]:
    """Samples of all 264 channels, their numbers, and what Open Ephys says of the channels."""
    base = folder / "raw_ephys" / "2022-07-25_15-30-00" / "experiment1" / "recording1"
    channels = json.loads((base / "structure.oebin").read_text())["continuous"][0]["channels"]
    stream = base / "continuous" / "Rhythm_FPGA-100.0"
    samples = np.memmap(stream / "continuous.dat", dtype="<i2", mode="r").reshape(-1, len(channels))
    return samples, np.load(stream / "timestamps.npy"), channels


def test_session(session: Converted) -> None:
    check_session(session)


def test_headstage(session: Converted, recording: tuple[np.ndarray, np.ndarray, list[dict]]) -> None:
    samples, numbers, channels = recording
    with session.open() as file:
        series = file["acquisition/ElectricalSeries_probe"]
        assert_blocks_equal(series["data"], samples[:, :256])
        np.testing.assert_allclose(times_of(series), numbers / RATE, atol=1e-9, rtol=0)
        assert series["data"].attrs["unit"] == "volts"
        assert series["data"].attrs["conversion"] == pytest.approx(channels[0]["bit_volts"] * 1e-6, rel=1e-12)
        assert "channel_conversion" not in series
        names = file["general/extracellular_ephys/electrodes/channel_name"].asstr()[()]
        assert [str(names[i]) for i in series["electrodes"][()]] == [c["channel_name"] for c in channels[:256]]


def test_analog_inputs_are_in_volts(session: Converted, recording: tuple[np.ndarray, np.ndarray, list[dict]]) -> None:
    samples, numbers, channels = recording
    with session.open() as file:
        series = file["acquisition/AnalogInputs_analog"]
        assert_blocks_equal(series["data"], samples[:, 256:])
        np.testing.assert_allclose(times_of(series), numbers / RATE, atol=1e-9, rtol=0)
        # The range of the ADC is 10 V in 16 bits: Open Ephys 0.4.5's "uV" is wrong.
        assert series["data"].attrs["unit"] == "volts"
        assert series["data"].attrs["conversion"] == channels[256]["bit_volts"] == 10 / 2**16


def test_units_are_in_the_recordings_time(session: Converted, folder: Path) -> None:
    content = (folder / "processed_ephys" / "firings.mda").read_bytes()
    kind, _, dimensions, rows, columns = np.frombuffer(content[:20], "<i4")
    assert (kind, dimensions, rows) == (-7, 2, 3)
    firings = np.frombuffer(content[20:], "<f8").reshape(columns, rows)
    labels = np.unique(firings[:, 2])
    with session.open() as file:
        table = file["units"]
        assert len(table["id"]) == len(labels) == 17
        assert sorted(map(int, table["unit_name"].asstr()[()])) == sorted(map(int, labels))
        for row, name in enumerate(table["unit_name"].asstr()[()]):
            samples = firings[firings[:, 2] == int(name), 1]
            expected = (np.sort(samples) + FIRST_SAMPLE) / RATE
            np.testing.assert_allclose(ragged(table, "spike_times", row), expected, atol=1e-9, rtol=0)
        start, stop = times_of(file["acquisition/ElectricalSeries_probe"])[[0, -1]]
        spikes = table["spike_times"][()]
        assert start <= spikes.min()
        assert spikes.max() <= stop


def test_behavior_log(session: Converted, folder: Path) -> None:
    lines = (folder / "behavior" / "arduinoraw0.txt").read_text().splitlines()
    stamps = np.array((folder / "behavior" / "ArduinoStamps0.csv").read_text().split(), dtype=float) / 1e3
    assert len(lines) == len(stamps) == 24037
    assert lines[2].startswith("ephys Start")
    with session.open() as file:
        table = file["events/behavior_log"]
        times = table["timestamp"][()]
        assert len(times) == len(lines)
        # The first sample of the recording is at the stamp of "ephys Start": the spec says so.
        np.testing.assert_allclose(times, stamps - stamps[2] + FIRST_SAMPLE / RATE, atol=1e-6, rtol=0)
        names, milliseconds = table["event_type"].asstr()[()], table["arduino_ms"][()]
        details = table["detail"].asstr()[()]
    for number in (*range(60), *range(12000, 12060), *range(len(lines) - 60, len(lines))):
        line = lines[number]
        stated = re.search(r"\d{6,}", line)
        assert names[number] == re.split(r"[;:]|\d{6,}", line)[0].strip()
        if stated is None:
            assert np.isnan(milliseconds[number])
        else:
            assert milliseconds[number] == int(stated[0])
        assert line.endswith(details[number])
    # No line is lost: what is counted in the text is counted in the table.
    for name in ("beam break at port A", "rwd delivered at port B", "no Reward port C", "barrier change"):
        assert np.count_nonzero(names == name) == sum(line.startswith(name) for line in lines)


def test_blocks_of_the_maze(session: Converted, folder: Path) -> None:
    lines = (folder / "behavior" / "arduinoraw0.txt").read_text().splitlines()
    stamps = np.loadtxt(folder / "behavior" / "ArduinoStamps0.csv") / 1e3 - 55519.11258133333
    starts = stamps[[line.startswith("Block: ") for line in lines]]
    with session.open() as file:
        epochs = file["intervals/epochs"]
        np.testing.assert_allclose(epochs["start_time"][()], starts, rtol=0, atol=1e-9)
        np.testing.assert_allclose(epochs["stop_time"][()], [*starts[1:], stamps[-1]], rtol=0, atol=1e-9)
        assert epochs["block"][()].tolist() == [0, 1, 2]
        table = file["general/nwbpipe_session/attributes"]
        said = dict(zip(table["attribute"].asstr()[()], table["value"].asstr()[()], strict=True))
        barriers = (folder / "behavior" / "barriers.txt").read_text().splitlines()
        numbers = [line for line in barriers if line and not line.startswith("#")]
        assert [said[f"barriers_block_{block}"] for block in range(3)] == numbers
