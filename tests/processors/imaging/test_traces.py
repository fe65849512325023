"""dF/F and deconvolution of traces: against what can be worked out, and through the engine."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData
from pydantic import ValidationError
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.errors import InputError, ResultExistsError, ToolFailedError
from nwbpipe.processors import Context, processor
from nwbpipe.processors.imaging import Suite2pParams
from nwbpipe.processors.imaging import _deconvolution_compute as deconvolution
from nwbpipe.processors.imaging import _segmentation_write as writing
from nwbpipe_kit import baselines as baselines
from tests.processors.imaging.session import write_session

RATE, TAU = 10.0, 1.0
G = float(np.exp(-1 / (RATE * TAU)))


def spikes_and_calcium(frames=400, rois=3, seed=0):
    spikes = (np.random.default_rng(seed).random((frames, rois)) < 0.03).astype(float)
    spikes[0] = 0
    calcium = np.zeros_like(spikes)
    for t in range(1, frames):
        calcium[t] = G * calcium[t - 1] + spikes[t]
    return spikes, calcium


# The baseline ------------------------------------------------------------------------------------------------


def test_the_running_minimum_is_the_minimum_of_each_window():
    values = np.random.default_rng(0).normal(size=(57, 2))
    for window in (1, 2, 5, 12, 57, 200):
        half = window // 2
        expected = [values[max(0, t - half) : t + half + 1].min(axis=0) for t in range(57)]
        np.testing.assert_array_equal(baselines.running_min(values, window), expected)


def test_the_gaussian_is_scipys():
    from scipy.ndimage import gaussian_filter1d

    values = np.random.default_rng(0).normal(size=(80, 2))
    expected = gaussian_filter1d(values, 3.0, axis=0, mode="reflect", truncate=4.0)
    np.testing.assert_allclose(baselines.smooth_gaussian(values, 3.0), expected, atol=1e-6)
    np.testing.assert_array_equal(baselines.smooth_gaussian(values, 0.0), values)


@pytest.mark.parametrize("kind", ["percentile", "maximin", "constant"])
def test_a_baseline_scales_and_shifts_with_its_trace(kind):
    params = {"baseline": kind, "percentile": 8.0, "window_s": 10.0, "sigma_s": 0.5}
    values = 5 + spikes_and_calcium()[1]
    found = baselines.compute_baseline(values, RATE, params)
    np.testing.assert_allclose(baselines.compute_baseline(3 * values + 2, RATE, params), 3 * found + 2)
    assert np.abs(found - 5).max() < 1.5
    swapped = baselines.compute_baseline(values[:, ::-1], RATE, params)
    np.testing.assert_allclose(swapped, found[:, ::-1])


def test_a_slow_drift_is_followed():
    drift = np.linspace(10, 20, 2000)[:, None]
    params = {"baseline": "percentile", "percentile": 50.0, "window_s": 20.0, "sigma_s": 0.5}
    found = baselines.compute_baseline(drift, RATE, params)
    np.testing.assert_allclose(found[100:-100], drift[100:-100], atol=0.02)


# OASIS -------------------------------------------------------------------------------------------------------


def test_activity_without_noise_is_found_exactly():
    spikes, calcium = spikes_and_calcium()
    for k in range(3):
        np.testing.assert_allclose(deconvolution.deconvolve_oasis(calcium[:, k], G), spikes[:, k], atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_least_squares_solution(seed):
    """Against scipy's non-negative least squares, which solves the same problem in another way."""
    from scipy.optimize import nnls

    trace = spikes_and_calcium(80, 1, seed)[1][:, 0] + np.random.default_rng(seed).normal(0, 0.2, 80)
    lags = np.subtract.outer(np.arange(80), np.arange(80))
    kernel = np.where(lags >= 0, G ** np.maximum(lags, 0.0), 0.0)
    expected, _ = nnls(kernel, trace)
    np.testing.assert_allclose(deconvolution.deconvolve_oasis(trace, G)[1:], expected[1:], atol=1e-8)


def test_it_scales_with_the_trace_and_a_penalty_takes_the_small_ones():
    trace = spikes_and_calcium(300, 1)[1][:, 0] + np.random.default_rng(1).normal(0, 0.2, 300)
    plain = deconvolution.deconvolve_oasis(trace, G)
    np.testing.assert_allclose(deconvolution.deconvolve_oasis(7 * trace, G), 7 * plain, atol=1e-9)
    assert (deconvolution.deconvolve_oasis(trace, G, penalty=0.5) > 0).sum() < (plain > 0).sum()
    jumps = deconvolution.deconvolve_oasis(trace, G, smallest=0.5)
    assert jumps[jumps > 0].min() >= 0.5


# Through the engine ------------------------------------------------------------------------------------------


@pytest.fixture
def session(made, tmp_path):
    return shutil.copy2(made[0], tmp_path / "session.nwb"), *made[1:]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Traces F = 50 + 20 calcium + neuropil, of three ROIs; the last one's background is below zero."""
    spikes, calcium = spikes_and_calcium()
    wave = 10 * np.sin(np.arange(400) / 30)[:, None]
    raw = (np.array([50, 80, -60]) + 20 * calcium + 0.7 * wave).astype("f4")
    neuropil = np.repeat(30 + wave, 3, axis=1).astype("f4")
    path = write_session(
        tmp_path_factory.mktemp("traces") / "session.nwb",
        np.ones((400, 24, 18), np.int16),
        rate=RATE,
        starting_time=2.0,
    )
    with NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        context = Context("cells", Suite2pParams(), {})
        module, movie = context.module(nwbfile, "ophys"), nwbfile.acquisition["TwoPhotonSeries"]
        rois = writing.Rois(np.array([1, 2, 3]), np.array([1, 5, 9]), np.array([1, 5, 9]), np.ones(3))
        table = writing.write_segmentation(module, context, movie, rois, "ROIs.")
        traces = [writing.Traces("RoiResponseSeries", raw, "F."), writing.Traces("Neuropil", neuropil, "Fneu.")]
        writing.write_traces(module, context, movie, table, fluorescence=traces)
        writing.write_traces(
            module,
            Context("some", Suite2pParams(), {}),
            movie,
            table,
            fluorescence=[writing.Traces("RoiResponseSeries", raw[:, [2]], "F."),
                          writing.Traces("Neuropil", neuropil[:, [0]], "Fneu.")],
            rows=[2],
        )  # fmt: skip
        io.write(nwbfile)
    return path, spikes, calcium


TRACES = {"traces": "Fluorescence_cells/RoiResponseSeries", "neuropil": "Fluorescence_cells/Neuropil"}


@pytest.mark.usefixtures("own_places")
def test_dff_and_its_activity(session):
    path, spikes, calcium = session
    nwbpipe.process(path, "dff", inputs=TRACES, params={"baseline": "constant", "percentile": 20.0})
    nwbpipe.process(path, "deconvolution", inputs={"traces": "Fluorescence_cells/RoiResponseSeries"})
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        series = ophys["DfOverF_dff"]["DfOverF"]
        assert (series.rate, series.starting_time) == (RATE, 2.0)
        assert series.rois.data[:].tolist() == [0, 1, 2]
        found = series.data[:]
        assert np.isnan(found[:, 2]).all()
        assert "columns 2" in series.description
        for k, level in enumerate((50, 80)):
            corrected = 20 * calcium[:, k]
            base = level + np.percentile(corrected, 20)
            np.testing.assert_allclose(found[:, k], (level + corrected) / base - 1, atol=0.02)
        activity = ophys["Deconvolved_deconvolution"]["Deconvolved"]
        assert activity.unit == "a.u."
        for k in range(3):
            assert np.corrcoef(activity.data[:, k], spikes[:, k])[0, 1] > 0.95


@pytest.mark.usefixtures("own_places")
def test_what_does_not_belong_together_or_has_no_baseline_is_refused(session):
    path, _, _ = session
    before = path.read_bytes()
    with pytest.raises(InputError, match="several objects"):
        nwbpipe.process(path, "dff")
    with pytest.raises(InputError, match="belong together"):
        nwbpipe.process(path, "dff", inputs={**TRACES, "neuropil": "Fluorescence_some/Neuropil"})
    with pytest.raises(ToolFailedError, match="baseline of no trace is positive"):
        nwbpipe.process(path, "dff", inputs={"traces": "Fluorescence_some/RoiResponseSeries"})
    of_one = {"segmentation": "PlaneSegmentation_cells", "traces": "Fluorescence_some/RoiResponseSeries"}
    with pytest.raises(InputError, match="not those of all these ROIs"):
        nwbpipe.process(path, "imaging_quality", inputs=of_one)
    assert path.read_bytes() == before


@pytest.mark.usefixtures("own_places")
def test_traces_with_nan_are_refused(session):
    path, _, _ = session
    with h5py.File(path, "a") as file:
        file["processing/ophys/Fluorescence_cells/Neuropil/data"][3, 1] = np.nan
    with pytest.raises(ToolFailedError, match=r"NaN or infinite values \(the first in column 1\)"):
        nwbpipe.process(path, "dff", inputs=TRACES)


@pytest.fixture
def judged(session):
    """Verdicts on the three ROIs, in another order than they are in: 2 passes, 0 warns, 1 fails."""
    path = session[0]
    with NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        ophys = nwbfile.processing["ophys"]
        table = ophys["ImageSegmentation_cells"]["PlaneSegmentation_cells"]
        columns = [
            DynamicTableRegion(name="roi", description="The ROI.", data=[2, 0, 1], table=table),
            VectorData(name="verdict", description="Verdict.", data=["pass", "warn", "fail"]),
        ]
        ophys.add(DynamicTable(name="RoiQuality_q", description="Verdicts.", columns=columns))
        ophys.add(DynamicTable(name="Notes", description="Says nothing.", columns=columns[:1]))
        io.write(nwbfile)
    return path


@pytest.mark.usefixtures("own_places")
@pytest.mark.parametrize(("name", "container", "inputs"), [
    ("dff", "DfOverF", TRACES),
    ("deconvolution", "Deconvolved", {"traces": TRACES["traces"]}),
])  # fmt: skip
def test_only_rois_that_passed_are_taken(judged, name, container, inputs):
    nwbpipe.process(judged, name, step="every", inputs=inputs)
    with h5py.File(judged, "a") as file:
        file["processing/ophys/Fluorescence_cells/Neuropil/data"][:, 1] = np.nan  # of the one that is left out
    run = nwbpipe.process(judged, name, step="some", inputs={**inputs, "rois": "RoiQuality_q"})
    assert {one.name for one in run.record.inputs} == {*inputs, "rois"}
    assert validate(path=str(judged)) == []
    with NWBHDF5IO(judged, "r") as io:
        ophys = io.read().processing["ophys"]
        every, some = (ophys[f"{container}_{step}"][container] for step in ("every", "some"))
        assert some.rois.data[:].tolist() == [0, 2]
        assert some.rois.table is every.rois.table
        np.testing.assert_array_equal(some.data[:], every.data[:][:, [0, 2]])
        assert "2 of 3 ROIs: those that RoiQuality_q takes" in some.description
    with h5py.File(judged, "a") as file:  # another verdict is another input
        file["processing/ophys/RoiQuality_q/verdict"][0] = "fail"
    with pytest.raises(ResultExistsError, match="rois"):
        nwbpipe.process(judged, name, step="some", inputs={**inputs, "rois": "RoiQuality_q"})
    again = nwbpipe.process(judged, name, step="some", inputs={**inputs, "rois": "RoiQuality_q"}, replace=True)
    assert again.computed
    with h5py.File(judged) as file:
        assert file[f"processing/ophys/{container}_some/{container}/rois"][()].tolist() == [0]


@pytest.mark.usefixtures("own_places")
def test_rois_without_a_word_on_them_are_refused(judged):
    with h5py.File(judged, "a") as file:
        file["processing/ophys/RoiQuality_q/verdict"][:] = "fail"
    before = judged.read_bytes()
    for rois, message in (
        ("RoiQuality_cells", "no object at"),
        ("Notes", "does not say which ROIs"),
        ("PlaneSegmentation_cells", "does not say which ROIs"),  # it has no iscell
        ("RoiQuality_q", "no ROI is left"),
    ):
        with pytest.raises(InputError, match=message):
            nwbpipe.process(judged, "dff", inputs={**TRACES, "rois": rois})
    assert judged.read_bytes() == before
    with NWBHDF5IO(judged, "a") as io:
        nwbfile = io.read()
        ophys = nwbfile.processing["ophys"]
        table = ophys["ImageSegmentation_cells"]["PlaneSegmentation_cells"]
        table.add_column("iscell", "Whether it is a cell.", data=[False, True, False])
        columns = [
            DynamicTableRegion(name="roi", description="The ROI.", data=[2, 0], table=table),
            VectorData(name="curated_iscell", description="A person's word.", data=[True, True]),
        ]
        ophys.add(DynamicTable(name="Curation_q", description="Of two of three.", columns=columns))
        io.write(nwbfile)
    with pytest.raises(InputError, match="does not say whether the ROI 1"):
        nwbpipe.process(judged, "dff", inputs={**TRACES, "rois": "Curation_q"})
    nwbpipe.process(judged, "dff", inputs={**TRACES, "rois": "PlaneSegmentation_cells"})
    with h5py.File(judged) as file:
        assert file["processing/ophys/DfOverF_dff/DfOverF/rois"][()].tolist() == [1]


def test_settings_of_other_stages_are_refused():
    with pytest.raises(ValidationError, match="only settings of the group"):
        processor("motion_correction").Params(settings={"detection": {"highpass_time": 50}})
