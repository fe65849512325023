"""synchronize: simulated streams of known relation on one grid of times."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace as Item
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.processors.behavior import SynchronizeParams
from nwbpipe.processors.behavior import _synchronize_clocks as clocks
from tests.nwb_builders.nwb import empty_nwbfile

LAG_S = 0.4  # by which the paw follows the neuron


def latent(times: np.ndarray) -> np.ndarray:
    """What all streams see: slow enough for each of them, and without a period."""
    phase = 2 * np.pi * times
    return np.asarray(np.sin(0.9 * phase) + 0.7 * np.sin(np.sqrt(2) * phase + 1) + 0.3 * np.sin((times + 1) ** 1.3))


def write_streams(path: Path) -> Path:
    """dF/F at 7.3 Hz, a paw at uneven 50 Hz with a gap, a wheel at 1 kHz, units, events, a video of uneven frames."""
    from pynwb import NWBHDF5IO, TimeSeries
    from pynwb.image import ImageSeries

    from nwbpipe.nwb_builders import make_events_table
    from tests.processors.pose.pose import add_pose

    generator = np.random.default_rng(0)
    nwbfile = empty_nwbfile()
    slow = 0.3 + np.arange(440) / 7.3
    nwbfile.add_acquisition(
        TimeSeries(name="dff", description="d", unit="n.a.", rate=7.3, starting_time=0.3, data=latent(slow) * 2)
    )
    paw = np.cumsum(np.full(3000, 0.02) + generator.uniform(-0.004, 0.004, 3000))
    paw = paw[(paw < 30) | (paw > 33)]
    x = 100 + 50 * latent(paw - LAG_S)
    likelihood = np.ones((paw.size, 1))
    likelihood[100:110] = 0.1
    add_pose(nwbfile, "Pose", {"paw": np.column_stack([x, x + 1])}, likelihood=likelihood, timestamps=paw)
    wheel = np.arange(60_000) / 1000
    counts = np.round(latent(wheel) * 1000).astype(np.int16)
    nwbfile.add_acquisition(
        TimeSeries(
            name="wheel", description="w", unit="radians", rate=1000.0, data=counts, conversion=0.001, offset=5.0
        )
    )
    for rate in (4.0, 9.0):
        nwbfile.add_unit(spike_times=np.sort(generator.uniform(0, 60, int(rate * 60))))
    names = ["lick", "reward"] * 40
    nwbfile.add_events_table(make_events_table("log", "e", np.sort(generator.uniform(1, 59, 80)), names=names))
    frames = np.cumsum(np.full(1750, 1 / 30) + generator.uniform(-0.002, 0.002, 1750))
    nwbfile.add_acquisition(
        ImageSeries(
            name="video",
            unit="n.a.",
            format="external",
            external_file=["v.mp4"],
            starting_frame=[0],
            timestamps=frames,
        )
    )
    (path.parent / "v.mp4").write_bytes(b"frames")
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_streams(tmp_path_factory.mktemp("sync") / "streams.nwb")


ALL = {"series": "dff, Pose, wheel, units, log"}


def lag_of(first: np.ndarray, second: np.ndarray) -> int:
    """Samples by which the second follows the first, at the peak of their cross-correlation."""
    good = np.isfinite(first) & np.isfinite(second)
    first, second = (np.where(good, item - item[good].mean(), 0.0) for item in (first, second))
    return int(np.argmax(np.correlate(second, first, "full"))) - (first.size - 1)


def members(nwbfile: Any, step: str) -> dict[str, Any]:
    series = nwbfile.processing["behavior"][f"Synchronized_{step}"].time_series
    return {name.removeprefix(f"{step}_"): item for name, item in series.items()}


def test_streams_of_a_session_are_rows_of_one_table(file: Path) -> None:
    run = nwbpipe.process(file, "synchronize", step="sync", params={"rate_hz": 30.0}, inputs=ALL)
    assert run.computed
    with nwbpipe.read(file) as nwbfile:
        series = members(nwbfile, "sync")
        assert set(series) == {"dff", "Pose", "wheel", "units", "log"}
        assert len({item.timestamps for item in series.values()}) == 1  # one dataset, the others link to it
        times = series["dff"].timestamps[:]
        np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-9)
        assert times[0] == pytest.approx(0.3)
        assert times[-1] > 59.9
        dff, paw, wheel = series["dff"].data[:], series["Pose"].data[:], series["wheel"].data[:]
        assert paw.shape == (times.size, 1, 2)
        assert (series["wheel"].unit, series["units"].unit, series["Pose"].unit) == ("radians", "spikes", "pixels")
        # The paw follows the neuron and the wheel by the true lag, within a sample of the grid.
        assert abs(lag_of(dff, paw[:, 0, 0]) - LAG_S * 30) <= 1
        assert abs(lag_of(wheel, paw[:, 0, 0]) - LAG_S * 30) <= 1
        assert lag_of(dff, wheel) == 0
        np.testing.assert_allclose(wheel[20:-20], 5 + latent(times)[20:-20], atol=2e-3)
        inside = (times > 1) & ((times < 29.9) | (times > 33.3)) & (times < 59.4)
        np.testing.assert_allclose(paw[inside, 0, 0], 100 + 50 * latent(times - LAG_S)[inside], atol=0.5)
        gap = (times > 30.05) & (times < 32.95)
        assert np.isnan(paw[gap]).all()
        assert np.isfinite(paw[inside]).all()
        # Each event within the grid is in one bin.
        edge = 0.5 / 30
        for column, unit in enumerate(nwbfile.units["spike_times"][:]):
            expected = np.sum((unit >= times[0] - edge) & (unit < times[-1] + edge))
            assert series["units"].data[:, column].sum() == expected
        assert series["log"].data[:].sum() == 80
        assert series["log"].data[:].sum(axis=0).tolist() == [40, 40]
        assert series["log"].comments == "Columns: lick, reward"
        assert "80 of 80 counted" in series["log"].description
        assert "low-pass at 12 Hz" in series["wheel"].description
        assert "low-pass" not in series["dff"].description


def test_rows_are_the_frames_of_a_video(file: Path) -> None:
    params = {"methods": {"wheel": "mean", "dff": "previous"}, "max_gaps_s": {"Pose": 5.0}, "min_likelihood": 0.5}
    inputs = {**ALL, "grid": "video"}
    nwbpipe.process(file, "synchronize", step="frames", params=params, inputs=inputs)
    with nwbpipe.read(file) as nwbfile:
        series = members(nwbfile, "frames")
        frames = nwbfile.acquisition["video"].timestamps[:]
        times = series["wheel"].timestamps[:]
        np.testing.assert_array_equal(times, frames[(frames >= 0.3) & (frames <= 60.0)])
        np.testing.assert_allclose(series["wheel"].data[1:-1], 5 + latent(times)[1:-1], atol=0.02)
        sample = np.floor((times - 0.3) * 7.3 + 1e-6)
        np.testing.assert_allclose(series["dff"].data[:], 2 * latent(0.3 + sample / 7.3), atol=1e-9)
        assert np.isfinite(series["Pose"].data[:]).all()  # a gap of 3 s may be crossed, and so may doubtful keypoints
        assert series["log"].data[:].sum() == 80


def test_a_request_that_is_not_clear_is_refused(file: Path) -> None:
    cases: list[tuple[dict[str, Any], dict[str, str], str]] = [
        ({}, ALL, "not defined"),
        ({"rate_hz": 30.0}, {**ALL, "grid": "video"}, "defined twice"),
        ({"rate_hz": 30.0, "methods": {"whel": "mean"}}, ALL, "names 'whel'"),
        ({"rate_hz": 30.0, "methods": {"units": "linear"}}, ALL, "they are counted"),
    ]
    for params, inputs, message in cases:
        with pytest.raises(InputError, match=message):
            nwbpipe.process(file, "synchronize", params=params, inputs=inputs)
    with pytest.raises(ValidationError, match="not after"):
        SynchronizeParams(start_s=3, stop_s=3)
    with pytest.raises(ValidationError, match="positive number"):
        SynchronizeParams(max_gaps_s={"wheel": -1.0})


def test_inputs_and_grid_of_an_unaligned_clock_are_refused_unless_asked_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nwbpipe.read(file) as nwbfile:
        ids = {item.name: object_id for object_id, item in nwbfile.objects.items()}
    monkeypatch.setattr(clocks, "read_alignments", lambda file: [])
    inputs = {"series": "dff, wheel", "grid": "video"}
    for name in ("wheel", "video"):
        outputs = [Item(object_id=ids[name], name=f"camera: {name}")]
        conversion = Item(step="convert", parameters={"sources": {"probe": {}, "camera": {}}}, outputs=outputs)
        monkeypatch.setattr(clocks, "read_records", lambda file, conversion=conversion: [conversion])
        monkeypatch.setattr(clocks, "find_current_record", lambda records, step: records[0])
        with pytest.raises(InputError, match="the clock 'camera' is not aligned") as caught:
            nwbpipe.process(file, "synchronize", step="clocks", inputs=inputs)
        assert str(caught.value.problem.where).endswith(name)
    params = {"unaligned_clocks": True}
    assert nwbpipe.process(file, "synchronize", step="clocks", params=params, inputs=inputs).computed
