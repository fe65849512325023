"""suite2p itself, by the engine, on movies whose cells and motion are known."""

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate

from nwbpipe.environments import find
from nwbpipe.errors import ToolFailedError, ToolMissingError
from nwbpipe.processors.imaging import Suite2p
from nwbpipe.run import process
from tests.processors.imaging.session import write_session
from tests.processors.imaging.simulated_movie import simulate_movie

pytestmark = pytest.mark.slow
PARAMS = {"tau": 0.7, "nimg_init": 200}


@pytest.fixture(scope="module", autouse=True)
def suite2p():
    try:
        return find(Suite2p.tool)
    except ToolMissingError as error:
        pytest.skip(f"suite2p is not installed: {error.problem.found or error.problem.where}")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NWBPIPE_LOGS", str(tmp_path / "logs"))
    monkeypatch.setenv("NWBPIPE_SCRATCH", str(tmp_path / "scratch"))


def shift_error(found, true):
    """RMSE in x and y; the reference image's own position is arbitrary, and taken off."""
    difference = found - true
    offset = np.round(np.median(difference, axis=0)).astype(int)
    return np.sqrt(((difference - offset) ** 2).mean(axis=0)), offset


def matches(table, truth, offset, only_cells=True):
    """Pairs of (row, true cell) whose masks overlap by more than half (intersection over union)."""
    true = np.roll(truth.masks, -offset, axis=(1, 2))
    pairs = []
    for row in range(len(table)):
        if only_cells and not table["iscell"].data[row]:
            continue
        mask = np.zeros(truth.movie.shape[1:], bool)
        for x, y, _ in table["pixel_mask"][row]:
            mask[int(x), int(y)] = True
        overlap = [(mask & cell).sum() / (mask | cell).sum() for cell in true]
        pairs.append((row, int(np.argmax(overlap)) if max(overlap) > 0.5 else None))
    return pairs


@pytest.mark.parametrize(
    ("size", "seed", "dtype", "nonrigid"),
    [
        pytest.param((120, 88), 0, np.int16, True, id="int16", marks=pytest.mark.long),
        pytest.param((168, 100), 1, np.uint16, True, id="uint16-large-nonrigid"),
        pytest.param((88, 120), 2, np.float32, False, id="float32-rigid", marks=pytest.mark.long),
    ],
)
def test_cells_motion_and_traces_are_found(tmp_path, size, seed, dtype, nonrigid):
    truth = simulate_movie(size=size, seed=seed, cells=10)
    movie = truth.movie
    if dtype is np.uint16:  # larger than int16 holds
        movie = (np.clip(movie, 0, None).astype(np.uint32) * 55).clip(max=65535).astype(np.uint16)
    elif dtype is np.float32:
        movie = movie.astype(np.float32) / 1000
    path = write_session(tmp_path / "session.nwb", movie, rate=truth.rate, starting_time=2.0)
    block = (64, 64) if size[0] > 150 else (128, 128)
    run = process(path, "suite2p", params={**PARAMS, "nonrigid": nonrigid, "block_size": block})
    assert run.computed
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        error, offset = shift_error(ophys["MotionCorrectionShifts_suite2p"].data[:], truth.shifts)
        assert np.all(error <= 0.5), error
        table = ophys["ImageSegmentation_suite2p"]["PlaneSegmentation_suite2p"]
        pairs = matches(table, truth, offset)
        found = {cell for _, cell in pairs if cell is not None}
        recall, precision = len(found) / len(truth.masks), len(found) / len(pairs)
        assert recall >= 0.9
        assert precision >= 0.9
        traces = ophys["Fluorescence_suite2p"]["NeuropilCorrected"]
        assert traces.starting_time == 2.0
        for row, cell in pairs:
            if cell is not None:
                assert np.corrcoef(traces.data[:, row], truth.traces[:, cell])[0, 1] >= 0.9
        mean = ophys["SummaryImages_suite2p"]["mean"].data[:]
        assert mean.shape == movie.shape[1:]
        # In the units of the movie, whatever suite2p was given.
        assert mean.mean() == pytest.approx(movie.mean(), rel=0.02)


@pytest.mark.long
def test_the_same_run_gives_the_same_result(tmp_path):
    truth = simulate_movie(frames=300)
    found = []
    for name in ("a", "b"):
        path = write_session(tmp_path / f"{name}.nwb", truth.movie, rate=truth.rate)
        process(path, "suite2p", params=PARAMS, seed=3, force=True)
        with h5py.File(path) as file:
            ophys = file["processing/ophys"]
            found.append(ophys["Fluorescence_suite2p/RoiResponseSeries/data"][:])
    np.testing.assert_array_equal(*found)


@pytest.mark.long
def test_a_still_movie_can_be_taken_as_it_is(tmp_path):
    truth = simulate_movie()
    still = np.stack(
        [np.roll(frame, tuple(-shift), axis=(0, 1)) for frame, shift in zip(truth.movie, truth.shifts, strict=True)]
    )
    path = write_session(tmp_path / "session.nwb", still, rate=truth.rate)
    process(path, "suite2p", params={**PARAMS, "do_registration": False})
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        assert "MotionCorrectionShifts_suite2p" not in ophys.data_interfaces
        table = ophys["ImageSegmentation_suite2p"]["PlaneSegmentation_suite2p"]
        pairs = matches(table, truth, np.zeros(2, int), only_cells=False)
        assert len({cell for _, cell in pairs if cell is not None}) >= 0.9 * len(truth.masks)


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, id="noise", marks=pytest.mark.long),
        pytest.param({"settings": {"extraction": {"snr_threshold": 0.999}}}, id="all below the SNR"),
    ],
)
def test_a_movie_without_cells_gives_an_empty_result(tmp_path, params):
    if params:
        movie = simulate_movie(frames=300).movie
    else:
        movie = np.random.default_rng(0).poisson(50, (300, 100, 72)).astype(np.int16)
    path = write_session(tmp_path / "session.nwb", movie, rate=15.0)
    process(path, "suite2p", params={**PARAMS, **params})
    assert validate(path=str(path)) == []
    with h5py.File(path) as file:
        names = set(file["processing/ophys"])
    assert "MotionCorrectionShifts_suite2p" in names
    assert "ImageSegmentation_suite2p" not in names


def test_a_movie_with_nan_is_refused_and_the_file_left_alone(tmp_path):
    movie = np.ones((30, 40, 32), np.float32)
    movie[4, 5, 6] = np.nan
    path = write_session(tmp_path / "session.nwb", movie, rate=15.0)
    before = path.read_bytes()
    with pytest.raises(ToolFailedError, match="NaN"):
        process(path, "suite2p", params=PARAMS)
    assert path.read_bytes() == before


@pytest.mark.thorough
def test_a_volume_of_two_channels(tmp_path):
    """Two planes with cells of their own; a still-bright second channel; some frames with the shutter closed."""
    planes = [simulate_movie(frames=300, seed=seed, cells=8) for seed in (4, 5)]
    movie = np.stack([one.movie for one in planes], axis=3)
    movie[:4] = 60
    red = [one.masks[:4].sum(axis=0) * 150 for one in planes]
    rng = np.random.default_rng(0)
    second = np.stack(
        [
            rng.poisson([30 + np.roll(image, tuple(shift), (0, 1)) for shift in one.shifts])
            for image, one in zip(red, planes, strict=True)
        ],
        axis=3,
    ).astype(np.int16)
    path = write_session(tmp_path / "session.nwb", movie, rate=15.0, more={"Red": second})
    inputs = {"movie": "TwoPhotonSeries", "second_channel": "Red"}
    process(path, "suite2p", params=PARAMS, inputs=inputs)
    assert validate(path=str(path)) == []
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        shifts = ophys["MotionCorrectionShifts_suite2p"].data[:]
        table = ophys["ImageSegmentation_suite2p"]["PlaneSegmentation_suite2p"]
        traces = ophys["Fluorescence_suite2p"]
        assert traces["SecondChannel"].data.shape == (300, len(table))
        assert ophys["SummaryImages_suite2p"]["mean_second_channel_plane1"].data.shape == movie.shape[1:3]
        assert ophys["MotionCorrectionQuality_suite2p"].data[:4, :, 1].all()
        reds = table["red"].data[:]
        for plane, truth in enumerate(planes):
            error, offset = shift_error(shifts[4:, plane], truth.shifts[4:])
            assert np.all(error <= 0.5), error
            pairs = [
                (row, cell)
                for row, cell in matches(table, truth, offset, only_cells=False)
                if table["plane"].data[row] == plane and cell is not None
            ]
            assert len({cell for _, cell in pairs}) >= 7
            for row, cell in pairs:
                assert reds[row] or cell >= 4  # suite2p may call a dark neighbour of a bright cell red
                bright = traces["SecondChannel"].data[:, row].mean()
                assert (bright > 90) == (cell < 4), bright
                raw = traces["NeuropilCorrected"].data[4:, row]
                assert np.corrcoef(raw, truth.traces[4:, cell])[0, 1] >= 0.9


def test_motion_correction_by_itself_is_suite2ps(tmp_path):
    truth = simulate_movie(frames=200)
    path = write_session(tmp_path / "session.nwb", truth.movie, rate=truth.rate)
    process(path, "motion_correction", params={"nimg_init": 100})
    assert validate(path=str(path)) == []
    with h5py.File(path) as file:
        ophys = file["processing/ophys"]
        error, _ = shift_error(ophys["MotionCorrectionShifts_motion_correction/data"][:], truth.shifts)
        assert np.all(error <= 0.5), error
        assert {"mean", "reference"} == set(ophys["SummaryImages_motion_correction"]) - {"order_of_images"}
        assert "ImageSegmentation_motion_correction" not in ophys
