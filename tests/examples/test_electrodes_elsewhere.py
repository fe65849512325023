"""Open Ephys' older format, EDF and NeuroScope, against the bytes of their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.environments import ToolEnvironment
from nwbpipe.errors import InputError
from tests.examples.checking import Converted, assert_blocks_equal, check_session, ragged, times_of

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.mark.parametrize("name", ["open_ephys_legacy", "edf", "neuroscope"])
def test_session(convert_example: Callable[[str], Converted], name: str) -> None:
    check_session(convert_example(name))


def continuous(path: Path) -> tuple[np.ndarray, int, float]:
    """Samples of a .continuous file, the number of the first, and microvolts a step."""
    content = path.read_bytes()
    header = dict(
        line.strip().removeprefix("header.").split(" = ")
        for line in content[:1024].decode().split(";")
        if " = " in line
    )
    record = np.dtype([("first", "<i8"), ("count", "<u2"), ("run", "<u2"), ("data", ">i2", 1024), ("mark", "u1", 10)])
    records = np.frombuffer(content[1024:], record)
    assert (records["count"] == 1024).all()
    assert (np.diff(records["first"]) == 1024).all()
    return records["data"].ravel(), int(records["first"][0]), float(header["bitVolts"])


@pytest.mark.parametrize("node", [101, 105])
def test_open_ephys_legacy(convert_example: Callable[[str], Converted], raw_store: Path, node: int) -> None:
    session = convert_example("open_ephys_legacy")
    folder = raw_store / "ephys" / "open_ephys" / "v0.6.7_OpenEphys" / f"Record Node {node}"
    read = [continuous(folder / f"100_example-data_CH{number}.continuous") for number in range(1, 17)]
    samples = np.stack([data for data, _, _ in read], axis=1)
    with session.open() as file:
        series = file[f"acquisition/ElectricalSeries_node{node}"]
        names = file["general/extracellular_ephys/electrodes/channel_name"].asstr()[()][series["electrodes"][()]]
        order = [int(str(name).removeprefix("CH")) - 1 for name in names]
        assert sorted(order) == list(range(16))
        assert_blocks_equal(series["data"], samples[:, order])
        np.testing.assert_allclose(times_of(series), (read[0][1] + np.arange(len(samples))) / 40000, atol=1e-9)
        assert series["data"].attrs["conversion"] == pytest.approx(read[0][2] * 1e-6)
        assert series["data"].attrs["unit"] == "volts"
        others = file[f"acquisition/ElectricalSeries_node{206 - node}/electrodes"][()]
        assert not set(series["electrodes"][()]) & set(others)  # two nodes don't share electrodes


def test_edf(convert_example: Callable[[str], Converted], raw_store: Path) -> None:
    session = convert_example("edf")
    content = (raw_store / "ephys" / "edf" / "test.edf").read_bytes()
    records, signals = int(content[236:244]), int(content[252:256])
    fields = content[256 : 256 * (1 + signals)].decode("latin-1")

    def column(start: int, width: int) -> list[str]:
        return [fields[signals * start + width * i :][:width].strip() for i in range(signals)]

    labels, counts = column(0, 16), [int(text) for text in column(216, 8)]
    bounds = [np.array(column(start, 8), dtype=float) for start in (104, 112, 120, 128)]
    scale = (bounds[1] - bounds[0]) / (bounds[3] - bounds[2])
    words = np.frombuffer(content[256 * (1 + signals) :], "<i2").reshape(records, sum(counts))
    ends = np.cumsum(counts)
    with session.open() as file:
        series = file["acquisition/ElectricalSeries_eeg"]
        names = file["general/extracellular_ephys/electrodes/channel_name"].asstr()[()][series["electrodes"][()]]
        assert [str(name) for name in names] == labels[:139]
        assert labels[139:] == ["EDF Annotations"]
        expected = np.stack([words[:, ends[i] - counts[i] : ends[i]].ravel() for i in range(139)], axis=1)
        assert_blocks_equal(series["data"], expected)
        units = set(column(96, 8)[:139])
        assert units == {"uV"}
        volts = series["data"].attrs["conversion"] * np.asarray(series.get("channel_conversion", np.ones(139)))
        np.testing.assert_allclose(volts, scale[:139] * 1e-6, rtol=1e-6)
        zero = (bounds[0] - bounds[2] * scale)[:139] * 1e-6
        np.testing.assert_allclose(zero, series["data"].attrs["offset"], atol=1e-12)
        np.testing.assert_allclose(times_of(series), np.arange(3072) / 512, atol=1e-9, rtol=0)


def test_neuroscope(convert_example: Callable[[str], Converted], raw_store: Path) -> None:
    session = convert_example("neuroscope")
    folder = raw_store / "sorting" / "neuroscope_A2929"
    trains = []
    for shank in (1, 2):
        clusters = np.loadtxt(folder / f"A2929-200711.clu.{shank}", dtype=int)[1:]
        samples = np.loadtxt(folder / f"A2929-200711.res.{shank}", dtype=int)
        assert len(clusters) == len(samples)
        trains += [samples[clusters == unit] / 20000 for unit in np.unique(clusters) if unit > 1]
    with session.open() as file:
        table = file["units"]
        assert len(table["id"]) == len(trains)
        stored = [ragged(table, "spike_times", row) for row in range(len(trains))]
    for one, other in zip(sorted(stored, key=len), sorted(trains, key=len), strict=True):
        np.testing.assert_allclose(one, np.sort(other), atol=1e-9, rtol=0)


@pytest.mark.long
def test_spikesorting(
    convert_example: Callable[[str], Converted],
    copy_of: Callable[[Converted], Path],
    tool: Callable[[str], ToolEnvironment],
    raw_store: Path,
) -> None:
    """Sort 3.3 s of the real recording; its probe's geometry is not in the data, so one is made up."""
    tool("spikesorting")
    path = copy_of(convert_example("open_ephys_legacy"))
    binding = {"recording": "/acquisition/ElectricalSeries_node101"}
    content = path.read_bytes()
    with pytest.raises(InputError, match="where the electrodes are"):
        nwbpipe.process(path, "spikesorting", inputs=binding)
    assert path.read_bytes() == content
    with nwbpipe.transaction(path) as nwbfile:
        count = len(nwbfile.electrodes)
        nwbfile.add_electrode_column("rel_x", "made up, in micrometers", data=[0.0] * count)
        nwbfile.add_electrode_column("rel_y", "made up", data=[20.0 * (row % 16) for row in range(count)])
    run = nwbpipe.process(path, "spikesorting", inputs=binding, threads=2)
    assert [item.path for item in run.record.outputs] == ["/processing/ecephys/Units_spikesorting"]
    folder = raw_store / "ephys" / "open_ephys" / "v0.6.7_OpenEphys" / "Record Node 101"
    read = [continuous(folder / f"100_example-data_CH{number}.continuous") for number in range(1, 17)]
    samples = np.stack([data for data, _, _ in read], axis=1).astype(float)
    sharp = np.abs(samples - (np.roll(samples, 20, 0) + np.roll(samples, -20, 0)) / 2)
    noise = np.median(sharp, axis=0)
    with h5py.File(path) as file:
        table = file["processing/ecephys/Units_spikesorting"]
        units = [ragged(table, "spike_times", row) for row in range(len(table["id"]))]
        start, stop = times_of(file["acquisition/ElectricalSeries_node101"])[[0, -1]]
    assert units
    for times in units:
        assert start <= times.min()
        assert times.max() <= stop
        # At the times of its spikes, a unit stands out of the raw traces on some channel.
        index = np.clip(np.round((times - start) * 40000).astype(int), 30, len(samples) - 31)
        peaks = np.max([sharp[index + shift] for shift in range(-12, 13)], axis=0).mean(axis=0)
        chance = np.array([sharp[i : i + 25].max(axis=0) for i in range(0, len(sharp) - 25, 997)]).mean(axis=0)
        assert (peaks / chance).max() > 1.5, (peaks / noise).max()
    from pynwb import validate

    assert validate(path=str(path)) == []
