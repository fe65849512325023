"""One file holds raw, demodulated, dF/F, the control's fit, events, trials and averages, each with its record."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from nwbinspector import Importance, inspect_nwbfile, load_config
from pynwb import validate

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.session import read_records
from nwbpipe.simulate import PhotometryTruth
from tests.fixtures.kept_files import share_folder
from tests.fixtures.processing import keep_places
from tests.processors.photometry.rig import convert, write_session

pytestmark = pytest.mark.slow

DEMODULATED = "ophys/DemodulatedLockIn_demodulate"
DFF = "ophys/DfOverFIsosbestic_photometry_dff"
STEPS = {
    "demodulate": ({}, {}),
    "photometry_dff": ({"signal": DEMODULATED}, {"zscore": "robust"}),
    "transients": ({"trace": DFF}, {"min_width_s": 0.2, "distance_s": 1.0}),
    "event_aligned": ({"trace": DFF, "events": "events/events"}, {"baseline": "subtract", "kinds": ["cue"]}),
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PhotometryTruth]:
    def fill(folder: Path) -> None:
        truth = write_session(folder, motion=0.02)
        with keep_places(folder):
            path = convert(folder)
            for processor, (inputs, params) in STEPS.items():
                assert nwbpipe.process(path, processor, inputs=inputs, params=params).computed
        (folder / "made.pickle").write_bytes(pickle.dumps((path, truth)))

    folder = share_folder(tmp_path_factory, "photometry", fill)
    return pickle.loads((folder / "made.pickle").read_bytes())


def test_the_file_is_valid_and_traceable(session):
    path, _ = session
    assert validate(path=str(path)) == []
    messages = list(inspect_nwbfile(nwbfile_path=path, config=load_config("dandi")))
    assert [str(one) for one in messages if one.importance.value > Importance.BEST_PRACTICE_SUGGESTION.value] == []
    records = {record.step: record for record in read_records(path)}
    assert set(records) == {"convert", *STEPS}
    assert [output.path for output in records["photometry_dff"].outputs] != []
    assert {one.path for one in records["event_aligned"].inputs} == {f"/processing/{DFF}", "/events/events"}


def test_everything_is_in_it(session):
    path, _ = session
    with nwbpipe.read(path) as nwbfile:
        ophys = nwbfile.processing["ophys"]
        assert set(ophys.data_interfaces) == {
            "DemodulatedLockIn_demodulate",
            "CarrierQuality_demodulate",
            "DfOverFIsosbestic_photometry_dff",
            "ControlFit_photometry_dff",
            "ZScoreRobust_photometry_dff",
            "TraceQuality_photometry_dff",
            "Transients_transients",
            "PeriEventAverage_event_aligned",
            "PeriEventTrials_event_aligned",
        }
        assert nwbfile.acquisition["FiberPhotometryResponseSeries_rig"].data.shape == (120_000, 2)
        assert len(nwbfile.events["events"]) == 2 * len(nwbfile.trials) > 20
        demodulated = ophys["DemodulatedLockIn_demodulate"]
        assert (demodulated.rate, demodulated.unit, demodulated.data.shape) == (100.0, "volts", (6000, 4))
        for name in ("DfOverFIsosbestic_photometry_dff", "ControlFit_photometry_dff", "ZScoreRobust_photometry_dff"):
            series = ophys[name]
            assert series.rate == 100.0
            assert "100 Hz" in series.description
            rows = series.fiber_photometry_table_region
            assert rows.data[:].tolist() == [0, 2]
            assert rows.table["excitation_wavelength_in_nm"][0] == 465


def test_the_traces_are_the_truth(session):
    path, truth = session
    with nwbpipe.read(path) as nwbfile:
        ophys = nwbfile.processing["ophys"]
        traces = ophys["DemodulatedLockIn_demodulate"].data[:]
        dff, fit = (ophys[name].data[:] for name in ("DfOverFIsosbestic_photometry_dff", "ControlFit_photometry_dff"))
    true = np.stack([truth.signal[0], truth.control[0], truth.signal[1], truth.control[1]], axis=1)[::20]
    good = np.isfinite(traces)
    assert (good.mean(axis=0) > 0.98).all()
    assert np.abs(traces - true)[good].max() < 0.02
    for k in range(2):
        inside = np.isfinite(dff[:, k])
        assert np.corrcoef(dff[inside, k], truth.dff[k, ::20][inside])[0, 1] > 0.97
        np.testing.assert_allclose(traces[inside, 2 * k] / fit[inside, k] - 1, dff[inside, k], atol=1e-12)


def test_carriers_transients_and_averages_are_the_truth(session):
    path, truth = session
    with nwbpipe.read(path) as nwbfile:
        ophys = nwbfile.processing["ophys"]
        carriers = ophys["CarrierQuality_demodulate"].to_dataframe()
        transients = ophys["Transients_transients"].to_dataframe()
        average = ophys["PeriEventAverage_event_aligned"].to_dataframe()
        trials = ophys["PeriEventTrials_event_aligned"].to_dataframe()
    np.testing.assert_allclose(carriers["carrier_hz"], [213, 331, 267, 419], atol=0.05)
    assert set(carriers["carrier_source"]) == {"recorded"}
    assert set(carriers["verdict"]) == {"pass"}
    events = truth.event_times
    for label, own in transients.groupby("trace"):
        lag = own["timestamp"].to_numpy()[:, None] - events
        assert ((lag > 0.1) & (lag < 0.8)).any(axis=0).mean() > 0.9, label
    assert average["n_events"].tolist() == [len(events)] * 2
    assert average["n_trials"].tolist() == [trials["used"].sum() / 2] * 2
    assert set(trials["reason"]) <= {
        "used",
        "the window ends after the recording",
        "the window begins before the recording",
    }
    for k, row in average.iterrows():
        peak = row["lag_s"][np.nanargmax(row["mean"])]
        assert 0.2 < peak < 0.6
        assert row["mean"].max() == pytest.approx(0.2 * (1 + 0.25 * k), rel=0.25)


def test_the_same_again_is_done_and_other_data_are_not(session):
    path, _ = session
    inputs, params = STEPS["photometry_dff"]
    assert not nwbpipe.process(path, "photometry_dff", inputs=inputs, params=params).computed


@pytest.mark.parametrize(
    ("processor", "inputs", "params", "message"),
    [
        ("demodulate", {"signal": "acquisition/FiberPhotometryResponseSeries_rig"},
         {"carriers": [{"column": 0, "hz": 1200}]}, "beyond the Nyquist frequency"),
        ("demodulate", {"signal": "acquisition/FiberPhotometryResponseSeries_rig"},
         {"carriers": [{"column": 1, "hz": 200}, {"column": 1, "hz": 215}]}, "carriers of one detector share a band"),
        ("demodulate", {"signal": "acquisition/FiberPhotometryResponseSeries_rig"},
         {"carriers": [{"column": 2, "hz": 200}]}, "no such column"),
        ("photometry_dff", {"signal": DEMODULATED}, {"control_nm": [500, 600]}, "a colour without a control"),
        ("photometry_dff", {"signal": DEMODULATED}, {"pairs": [{"signal": 0, "control": 7}]}, "no such column"),
        ("photometry_dff", {"signal": DEMODULATED, "control": DFF}, {}, "different numbers of traces"),
        ("event_aligned", {"trace": DFF, "events": "events/events"}, {"kinds": ["x"]}, "no event is called 'x'"),
        ("event_aligned", {"trace": DFF, "events": "events/events"}, {"time_column": "t"}, "has no column 't'"),
    ],
)  # fmt: skip
def test_bad_requests_are_refused_before_anything_runs(session, processor, inputs, params, message):
    path, _ = session
    before = path.read_bytes()
    with pytest.raises(InputError, match=message):
        nwbpipe.process(path, processor, step="another", inputs=inputs, params=params)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("processor", "params", "message"),
    [
        ("demodulate", {"rate_hz": 20}, "rate_hz must be 4 × bandwidth_hz or more"),
        ("demodulate", {"component": "in_phase", "method": "spectrogram"}, "needs method lock_in"),
        ("photometry_dff", {"zscore": "baseline"}, "go together"),
        ("photometry_dff", {"pairs": [{"signal": 0}]}, "takes pairs with a control"),
        ("event_aligned", {"baseline": "zscore", "baseline_s": [-2, 0]}, "not within the window"),
        ("transients", {"max_width_s": 0.01}, "larger than min_width_s"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(session, processor, params, message):
    with pytest.raises(nwbpipe.errors.ParameterError) as caught:
        nwbpipe.process(session[0], processor, step="another", params=params)
    assert message in str(caught.value)
