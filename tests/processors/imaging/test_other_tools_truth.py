"""CaImAn and EXTRACT themselves, by the engine, on a movie whose cells and motion are known.

Where they are not installed the tests skip with the reason: see docs/how-do-i-install-a-tool.md.
"""

from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
import tifffile
from pynwb import NWBHDF5IO, TimeSeries, validate

from nwbpipe.environments import find
from nwbpipe.errors import ToolMissingError
from nwbpipe.processors import processor
from nwbpipe.review import compare
from nwbpipe.run import process
from nwbpipe.simulate import EASY, simulate_two_photon
from nwbpipe.simulate._common import Scale, make_generator
from nwbpipe.simulate._imaging import write_imaging
from nwbpipe.simulate.scores import match_masks, trace_correlation
from tests.processors.imaging.session import write_session
from tests.processors.imaging.simulated_movie import simulate_movie

pytestmark = [pytest.mark.tool, pytest.mark.slow]
CAIMAN = {
    "K": 14,
    "gSig": (5, 5),
    "decay_time": 0.7,
    "max_shifts": (8, 8),
    "nb": 2,
    "min_SNR": 2.0,
}


def installed(name):
    try:
        find(processor(name).tool)
    except ToolMissingError as error:
        pytest.skip(f"{name} is not there: {error.problem.what}; {error.problem.hint}")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("CACHE", "LOGS", "SCRATCH"):
        monkeypatch.setenv(f"NWBPIPE_{name}", str(tmp_path / name.lower()))


def masks(table, shape):
    found = np.zeros((len(table), *shape), bool)
    for row in range(len(table)):
        pixels = table["pixel_mask"][row]
        weights = np.array([weight for _, _, weight in pixels])
        for (x, y, _), strong in zip(pixels, weights > 0.25 * weights.max(), strict=True):
            found[row, int(x), int(y)] = strong
    return found[np.asarray(table["iscell"].data[:], bool)]


def scores(ophys, step, truth, traces, offset=(0.0, 0.0)):
    table = ophys[f"ImageSegmentation_{step}"][f"PlaneSegmentation_{step}"]
    accepted = np.asarray(table["iscell"].data[:], bool)
    match = match_masks(truth.masks, masks(table, truth.movie.shape[1:]), offset=offset)
    found = traces.data[:].T[accepted]
    rows = match.pairs
    r = trace_correlation(truth.traces.T[rows[:, 0]], found[rows[:, 1]])
    return match, float(np.median(r))


def test_caiman_finds_cells_motion_and_traces(tmp_path):
    installed("caiman")
    truth = simulate_movie(cells=10)
    path = write_session(tmp_path / "session.nwb", truth.movie, rate=truth.rate, starting_time=2.0)
    run = process(path, "caiman", params=CAIMAN, threads=2)
    assert run.record.tool_version.startswith("1.12")
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        found = ophys["MotionCorrectionShifts_caiman"].data[:]
        difference = found - truth.shifts
        offset = np.median(difference, axis=0)
        assert np.sqrt(((difference - offset) ** 2).mean(axis=0)).max() <= 0.1
        match, r = scores(ophys, "caiman", truth, ophys["Fluorescence_caiman"]["NeuropilCorrected"], -offset)
        assert match.recall >= 0.85
        assert match.precision >= 0.85
        assert r >= 0.95
        for name in ("mean", "reference"):  # in the movie's own values
            image = ophys["SummaryImages_caiman"][name].data[:]
            assert image.mean() == pytest.approx(truth.movie.mean(), rel=0.03)
        raw = ophys["Fluorescence_caiman"]["RoiResponseSeries"]
        assert raw.starting_time == 2.0
        assert 0.5 * truth.movie.mean() < np.median(raw.data[:]) < 3 * truth.movie.mean()


def test_caiman_corrects_blocks(tmp_path):
    installed("caiman")
    truth = simulate_movie(frames=200, cells=10)
    path = write_session(tmp_path / "session.nwb", truth.movie, rate=truth.rate)
    blocks = {"motion": "piecewise", "strides": (40, 40), "overlaps": (16, 16)}
    process(path, "caiman", params={**CAIMAN, **blocks}, threads=2)
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        found = ophys["MotionCorrectionShifts_caiman"].data[:]
        difference = found - truth.shifts
        assert np.sqrt(((difference - np.median(difference, axis=0)) ** 2).mean(axis=0)).max() <= 0.2
        further = ophys["MotionCorrectionBlockShifts_caiman"].data[:]
        table = ophys["MotionCorrectionBlocks_caiman"]
        assert further.shape[1] == len(table)
        assert table["x_stop"].data[:].max() == truth.movie.shape[1]
        assert table["y_stop"].data[:].max() == truth.movie.shape[2]
        assert np.abs(further.mean(axis=1)).max() < 1e-4  # beyond the frame's own, which is their mean


def test_caiman_finds_nothing_in_noise(tmp_path):
    installed("caiman")
    movie = np.random.default_rng(0).poisson(50, (200, 64, 72)).astype(np.int16)
    path = write_session(tmp_path / "session.nwb", movie, rate=15.0)
    params = {"method": "cnmfe", "K": None, "nb": 0, "rf": None, "motion": "none"}
    process(path, "caiman", params=params, threads=1)
    assert validate(path=str(path)) == []
    with h5py.File(path) as file:
        assert "ImageSegmentation_caiman" not in file["processing/ophys"]


def simulated(tmp_path):
    """A small movie of the kind that `nwbpipe demo` simulates: (frames, x, y), and its truth."""
    truth = write_imaging(
        tmp_path / "raw.tif",
        make_generator(0, "imaging"),
        Scale(25.0, (100, 100), 8, 4, 2, 2),
        start_time=datetime(2024, 1, 1, tzinfo=UTC),
        offset_s=0.0,
    )
    return truth, np.ascontiguousarray(tifffile.imread(tmp_path / "raw.tif").transpose(0, 2, 1))


def test_extract_finds_cells_and_traces(tmp_path):
    installed("extract")
    truth, movie = simulated(tmp_path)
    path = write_session(tmp_path / "session.nwb", movie, rate=truth.rate)
    with NWBHDF5IO(path, "a") as io:  # as a motion correction would leave them, in (x, y)
        nwbfile = io.read()
        nwbfile.add_acquisition(TimeSeries(name="Shifts", data=truth.shifts[:, ::-1], unit="pixels", rate=truth.rate))
        io.write(nwbfile)
    params = {"avg_cell_radius": 5, "engine": "octave"}
    process(path, "extract", params=params, inputs={"shifts": "acquisition/Shifts"}, threads=1)
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        table = ophys["ImageSegmentation_extract"]["PlaneSegmentation_extract"]
        match = match_masks(truth.masks.transpose(0, 2, 1), masks(table, movie.shape[1:]))
        assert match.recall >= 0.85
        assert match.precision >= 0.85
        assert np.median(match.iou) >= 0.7
        found = ophys["DfOverF_extract"]["DfOverF"].data[:].T
        r = trace_correlation(truth.traces[match.pairs[:, 0]], found[match.pairs[:, 1]])
        assert np.median(r) >= 0.95


def test_extract_finds_nothing_in_noise(tmp_path):
    installed("extract")
    movie = np.random.default_rng(0).poisson(50, (200, 48, 40)).astype(np.int16)
    path = write_session(tmp_path / "session.nwb", movie, rate=15.0)
    process(path, "extract", params={"avg_cell_radius": 5, "engine": "octave", "cellfind_min_snr": 0}, threads=1)
    assert validate(path=str(path)) == []
    with h5py.File(path) as file:
        assert "ImageSegmentation_extract" not in file["processing/ophys"]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_caiman_holds_the_floors_of_the_easy_movie(tmp_path):
    installed("caiman")
    simulate_two_photon(tmp_path / "easy.nwb", EASY)
    patches = {"K": 8, "rf": 40, "stride": 15, "nb": 2, "decay_time": 0.7, "max_shifts": (10, 10)}
    process(tmp_path / "easy.nwb", "caiman", params=patches)
    (pair,) = compare(tmp_path / "easy.nwb", "caiman").pairs
    assert pair.recall >= 0.95, pair
    assert pair.precision >= 0.95, pair
    assert pair.iou >= 0.8, pair
    assert pair.trace_r >= 0.95, pair
    assert pair.activity_r >= 0.85, pair
    assert pair.motion_rms <= 0.1, pair


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_extract_holds_the_floors_of_the_easy_movie(tmp_path):
    """It corrects no motion: the true shifts are taken off."""
    installed("extract")
    simulate_two_photon(tmp_path / "easy.nwb", EASY)
    shifts = {"shifts": "MotionCorrectionShifts_truth"}
    process(tmp_path / "easy.nwb", "extract", params={"avg_cell_radius": 5, "engine": "octave"}, inputs=shifts)
    (pair,) = compare(tmp_path / "easy.nwb", "extract").pairs
    assert pair.recall >= 0.85, pair
    assert pair.precision >= 0.85, pair
    assert pair.iou >= 0.8, pair
    assert pair.trace_r >= 0.95, pair
