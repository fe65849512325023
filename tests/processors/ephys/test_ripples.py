"""Ripples of a known place, frequency and size are found; gaps, artefacts and running are left out."""

import numpy as np
import pynwb
import pytest

from nwbpipe.errors import InputError
from nwbpipe.nwb_builders import make_intervals_table
from nwbpipe.processors.ephys import RipplesParams
from nwbpipe.run import process
from tests.processors.ephys import recording as rec

detectors = pytest.importorskip("ripple_detection", reason="it runs with ripple-detection: pip install -e '.[dev]'")
from nwbpipe.processors.ephys import _ripples_compute as compute  # noqa: E402

RATE, SECONDS, CHANNELS = 1250.0, 40.0, 3
PEAKS = np.arange(2.0, 38.0, 1.7)
HERTZ = 180.0


def simulate(seed=0, peaks=PEAKS, sd=0.015):
    """Return a field potential in microvolts: theta, noise, and ripples, 100 µV on channel 1 and 60 µV beside it."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(RATE * SECONDS)) / RATE
    trace = 200 * np.sin(2 * np.pi * 8 * time) + rng.normal(0, 15, (CHANNELS, len(time)))
    for peak in peaks:
        burst = np.exp(-0.5 * ((time - peak) / sd) ** 2) * np.cos(2 * np.pi * HERTZ * (time - peak))
        trace += np.array([[60.0], [100.0], [60.0]]) * burst
    return time, trace.T


def write(path, trace, speed=None, artifacts=(), **series):
    times = {"starting_time": 5.0, "rate": RATE} if "timestamps" not in series else {}
    rec.write_session(path, np.rint(trace * 10).astype("int16"), conversion=0.1e-6, **times, **series)
    with rec.opened(path, "a") as nwbfile:
        if speed is not None:
            nwbfile.add_acquisition(speed)
        if len(artifacts):
            starts, stops = np.asarray(artifacts).T
            nwbfile.add_acquisition(make_intervals_table("Artifacts", "Artefacts.", starts, stops))
    return path


def read(path, step="ripples"):
    assert pynwb.validate(path=path) == []
    with rec.opened(path) as nwbfile:
        table = nwbfile.processing["ecephys"][f"Ripples_{step}"]
        columns = {name: np.asarray(table[name].data[:]) for name in table.colnames}
        return table.description, columns


def test_ripples_are_found_where_they_are(tmp_path):
    _, trace = simulate()
    path = write(tmp_path / "s.nwb", trace)
    process(path, "ripples", params={"zscore_threshold": 3})
    description, table = read(path)
    assert "150 to 250 Hz in 'ElectricalSeries': detector kay, 3 channels" in description
    assert len(table["peak_time"]) == len(PEAKS)  # all, and none else
    assert np.abs(table["peak_time"] - (5.0 + PEAKS)).max() < 0.005
    assert ((table["start_time"] < 5.0 + PEAKS) & (table["stop_time"] > 5.0 + PEAKS)).all()
    np.testing.assert_allclose(table["duration"], table["stop_time"] - table["start_time"])
    assert 0.03 < np.median(table["duration"]) < 0.12
    assert np.abs(table["frequency"] - HERTZ).max() < 5.0
    assert (table["electrode"] == 1).all()
    assert (table["max_zscore"] >= table["mean_zscore"]).all()
    # Mean square of a burst within its ends, over channels: its power is A²/2 · exp(-t²/sd²).
    for power, start, stop, peak in zip(table["power"], table["start_time"], table["stop_time"], PEAKS, strict=True):
        time = np.linspace(start, stop, 200) - 5.0 - peak
        truth = np.mean([60**2, 100**2, 60**2]) * 1e-12 / 2 * np.mean(np.exp(-((time / 0.015) ** 2)))
        assert power == pytest.approx(truth, rel=0.25)


@pytest.mark.parametrize("detector", ["kay", "roumis", "karlsson"])
def test_they_are_those_of_the_library(tmp_path, detector, monkeypatch):
    monkeypatch.setattr(compute, "_BLOCK_S", 3.3)
    monkeypatch.setattr(compute, "_PIECE_S", 5.0)
    time, trace = simulate(seed=3)
    found, traces = run_compute(trace, detector=detector)
    filtered = np.real(traces.analytic(0, len(trace), 0, len(trace))[0])
    function = getattr(detectors, f"{detector.capitalize()}_ripple_detector")
    theirs = function(time, filtered, np.zeros(len(time)), RATE)
    starts, ends = time[found].T
    assert ((starts[:, None] < PEAKS) & (ends[:, None] > PEAKS)).any(axis=0).all()
    assert len(found) == pytest.approx(len(theirs), abs=1)
    near = np.abs(starts[:, None] - theirs["start_time"].to_numpy()).min(axis=0)
    assert np.mean(near < 2.5 / RATE) > 0.95


def run_compute(trace, stretches=None, valid=None, speed=None, **params):
    values = RipplesParams(**params).model_dump(mode="json")
    kernel = compute.design_kernel(*values["band"], RATE)
    valid = np.ones(len(trace), bool) if valid is None else valid
    traces = compute.Traces(
        lambda start, end: trace[start:end].copy(),
        np.arange(trace.shape[1]),
        stretches or [(0, len(trace))],
        kernel,
        RATE,
        values,
        valid,
    )
    zscores = traces.normalize(lambda *_: None)
    times = np.arange(len(trace)) / RATE
    return compute.detect(zscores, times, traces, values, speed), traces


def test_blocks_are_the_same_as_the_whole(monkeypatch):
    _, trace = simulate(seed=1)
    whole, traces = run_compute(trace)
    measured = compute.measure(whole, traces.normalize(lambda *_: None), traces, lambda *_: None)
    monkeypatch.setattr(compute, "_BLOCK_S", 0.9)
    monkeypatch.setattr(compute, "_PIECE_S", 1.0)
    blocks, traces = run_compute(trace)
    np.testing.assert_array_equal(blocks, whole)
    again = compute.measure(blocks, traces.normalize(lambda *_: None), traces, lambda *_: None)
    for name, values in measured.items():
        np.testing.assert_allclose(again[name], values, rtol=1e-6, err_msg=name)


def test_gaps_artefacts_and_running_hold_no_event(tmp_path):
    time, trace = simulate(peaks=[5.0, 10.0, 15.0, 20.0, 25.0, 30.0])
    trace[round(20.0 * RATE) - 20 : round(20.0 * RATE) + 20] = 3000.0  # an artefact on a ripple
    time[round(15.0 * RATE) :] += 2.0  # a gap in one
    velocity = np.where((time > 26) & (time < 28), -0.2, 0.01)[::10]  # it runs during one
    series = {"name": "speed", "description": "Velocity.", "data": velocity, "timestamps": time[::10]}
    artifacts = [(21.98, 22.02)]
    path = write(
        tmp_path / "s.nwb",
        trace,
        artifacts=artifacts,
        timestamps=time,
        speed=pynwb.TimeSeries(unit="m/s", **series),
    )
    process(path, "ripples", params={"zscore_threshold": 4}, inputs={"artifacts": "Artifacts", "speed": "speed"})
    _, table = read(path)
    assert np.round(table["peak_time"], 1).tolist() == [5.0, 10.0, 32.0]
    np.testing.assert_allclose(table["speed"], 1.0)
    series["name"] = "turns"
    with rec.opened(path, "a") as nwbfile:
        nwbfile.add_acquisition(pynwb.TimeSeries(unit="radians/second", **series))
    with pytest.raises(InputError, match=r"(?s)unit of the speed is not known.*radians/second"):
        process(path, "ripples", step="wrong", inputs={"speed": "turns"})


def test_missing_values_hold_no_event():
    _, trace = simulate(peaks=[5.0, 10.0])
    trace[round(5.0 * RATE), 0] = np.nan
    found, _ = run_compute(trace, zscore_threshold=4)
    assert [round(first / RATE) for first, _ in found] == [10]
    with pytest.raises(ValueError, match="no stretch of the field potential"):
        run_compute(np.full((500, 2), np.nan))


def test_channels_are_chosen_and_nothing_found_is_a_valid_table(tmp_path):
    _, trace = simulate(peaks=[5.0])
    path = write(tmp_path / "s.nwb", trace)
    process(path, "ripples", params={"electrodes": [2, 0], "location": "CA1", "zscore_threshold": 500})
    description, table = read(path)
    assert "2 channels" in description
    assert len(table["peak_time"]) == 0
    for params, message in (
        ({"electrodes": [7]}, r"not recorded with these electrodes.*\[7\]"),
        ({"location": "CA3"}, r"no electrode of the series lies in 'CA3'.*CA1"),
        ({"band": [400, 620]}, "below half of the sampling rate.*lfp -p rate"),
    ):
        with pytest.raises(InputError, match=f"(?s){message}"):
            process(path, "ripples", step="wrong", params=params)
    with pytest.raises(ValueError, match="250 to 150 Hz"):
        RipplesParams(band=(250, 150))
