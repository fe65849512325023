"""The compute module by itself: what needs no suite2p."""

import sys

import h5py
import numpy as np
import pytest

from nwbpipe.processors.imaging import Suite2pParams
from nwbpipe.processors.imaging._settings import nest_settings
from nwbpipe.processors.imaging.suite2p import _compute as compute
from nwbpipe.processors.imaging.suite2p import _tool as tool


def quiet(fraction, text):
    pass


@pytest.fixture
def dataset(tmp_path):
    opened = []

    def make(values):
        file = h5py.File(tmp_path / f"{len(opened)}.h5", "w")
        opened.append(file)
        return file.create_dataset("data", data=values, chunks=(2, *values.shape[1:]))

    yield make
    for file in opened:
        file.close()


def test_a_movie_is_read_transposed(dataset):
    values = np.arange(5 * 3 * 4, dtype=np.int16).reshape(5, 3, 4)
    movie = compute.Movie(dataset(values), 1)
    assert movie.shape == (5, 4, 3)
    np.testing.assert_array_equal(movie[1:4], values[1:4].transpose(0, 2, 1))
    np.testing.assert_array_equal(movie[np.array([0, 3])], values[[0, 3]].transpose(0, 2, 1))
    assert movie[0:1].flags.c_contiguous
    assert bool(movie)  # suite2p asks `if not f_raw`


def ramp(dtype, top):
    return np.linspace(0, top, 5 * 3 * 4).reshape(5, 3, 4).astype(dtype)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (ramp(np.int16, 32767), 1),
        (ramp(np.uint8, 255), 1),
        (ramp(np.uint16, 32767), 1),
        (ramp(np.uint16, 32768), 2),
        (ramp(np.uint16, 65535), 2),
        (ramp(np.int32, 100_000), 4),
        (ramp(np.float32, 1.0), 1 / 30000),
        (ramp(np.float64, 1e9), 1e9 / 30000),
        (ramp(np.float32, 0.0), 1),
    ],
)
def test_values_are_scaled_into_int16_without_overflow(dataset, values, scale):
    data = dataset(values)
    assert compute.intensity_scale(data, quiet) == pytest.approx(scale)
    frames = compute.Movie(data, scale)[0:5]
    assert frames.dtype == np.int16
    back = frames.transpose(0, 2, 1).astype(np.float64) * scale
    np.testing.assert_allclose(back, values, atol=scale if scale > 1 else scale / 2 + 1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_movie_with_holes_is_refused(dataset, value):
    values = ramp(np.float32, 1.0)
    values[3, 1, 1] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        compute.intensity_scale(dataset(values), quiet)


def test_complex_values_are_refused(dataset):
    with pytest.raises(TypeError, match="complex64"):
        compute.intensity_scale(dataset(ramp(np.complex64, 1)), quiet)


@pytest.mark.parametrize(
    ("size", "block", "nonrigid", "fitted"),
    [
        ((512, 512), [128, 128], True, (128, 128)),
        ((88, 120), [128, 128], False, (128, 128)),
        ((88, 300), [128, 128], True, (66, 128)),
        ((128, 128), [128, 128], False, (128, 128)),
    ],
)
def test_blocks_fit_the_frame(size, block, nonrigid, fitted):
    settings = {"nonrigid": True, "block_size": block}
    tool.fit_blocks(settings, *size)
    assert settings == {"nonrigid": nonrigid, "block_size": fitted}


def test_rigid_registration_stays_rigid():
    settings = {"nonrigid": False, "block_size": [128, 128]}
    tool.fit_blocks(settings, 88, 300)
    assert settings == {"nonrigid": False, "block_size": (128, 128)}


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'smooth_sigma'"):
        tool.merge_settings({"registration": {"smooth_sigma": 1}}, {"registration": {"smoth_sigma": 2}})
    with pytest.raises(ValueError, match="group of settings"):
        tool.merge_settings({"registration": {"smooth_sigma": 1}}, {"registration": 2})


class FakeSuite2p:
    """The part of default_settings() of suite2p 1.1.0 that has a name in Suite2pParams, with its defaults."""

    @staticmethod
    def default_settings():
        return {
            "tau": 1.0,
            "fs": 10.0,
            "diameter": [12.0, 12.0],
            "run": {"do_registration": 1, "do_regmetrics": True},
            "registration": {
                "nimg_init": 400,
                "maxregshift": 0.1,
                "batch_size": 100,
                "nonrigid": True,
                "block_size": (128, 128),
                "smooth_sigma": 1.15,
                "two_step_registration": False,
                "align_by_chan2": False,
            },
            "detection": {
                "algorithm": "sparsery",
                "threshold_scaling": 1.0,
                "max_overlap": 0.75,
                "highpass_time": 100,
                "sparsery_settings": {"spatial_scale": 0},
            },
            "classification": {"use_builtin_classifier": False},
            "extraction": {"allow_overlap": False, "neuropil_coefficient": 0.7},
        }


def test_the_defaults_are_suite2ps_and_a_users_classifier_is_never_used():
    expected = FakeSuite2p.default_settings()
    expected["run"]["do_regmetrics"] = False
    expected["classification"]["use_builtin_classifier"] = True
    expected["fs"] = 15.0
    settings = tool.suite2p_settings(
        FakeSuite2p, nest_settings(Suite2pParams()), Suite2pParams().model_dump(mode="json"), 15.0
    )
    assert settings == expected


def test_every_parameter_reaches_suite2p():
    params = Suite2pParams(
        tau=0.7,
        diameter=(8, 9),
        do_registration=False,
        nonrigid=False,
        nimg_init=7,
        batch_size=8,
        block_size=(64, 65),
        maxregshift=0.2,
        smooth_sigma=3,
        two_step_registration=True,
        align_by_second_channel=True,
        algorithm="sourcery",
        spatial_scale=2,
        threshold_scaling=1.5,
        max_overlap=0.5,
        allow_overlap=True,
        neuropil_coefficient=0.6,
        settings={"detection": {"highpass_time": 50}},
    )
    assert tool.suite2p_settings(FakeSuite2p, nest_settings(params), params.model_dump(mode="json"), 20.0) == {
        "tau": 0.7,
        "fs": 20.0,
        "diameter": [8.0, 9.0],
        "run": {"do_registration": 0, "do_regmetrics": False},
        "registration": {
            "nimg_init": 7,
            "maxregshift": 0.2,
            "batch_size": 8,
            "nonrigid": False,
            "block_size": (64, 65),
            "smooth_sigma": 3.0,
            "two_step_registration": True,
            "align_by_chan2": True,
        },
        "detection": {
            "algorithm": "sourcery",
            "threshold_scaling": 1.5,
            "max_overlap": 0.5,
            "highpass_time": 50,
            "sparsery_settings": {"spatial_scale": 2},
        },
        "classification": {"use_builtin_classifier": True},
        "extraction": {"allow_overlap": True, "neuropil_coefficient": 0.6},
    }


def test_frames_reach_suite2p_as_neuroconv_was_given_them(tmp_path):
    """NeuroConv stores (frames, x, y); suite2p must see the picture, rows along y."""
    from neuroconv.tools.testing import MockImagingInterface
    from pynwb import NWBHDF5IO

    interface = MockImagingInterface(num_samples=6, num_rows=10, num_columns=15, dtype="int16")
    frames = interface.imaging_extractor.get_series()
    assert frames.shape == (6, 10, 15)
    nwbfile = interface.create_nwbfile()
    with NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(nwbfile)
    (name,) = nwbfile.acquisition
    with h5py.File(tmp_path / "a.nwb") as file:
        data = file[f"acquisition/{name}/data"]
        assert data.shape == (6, 15, 10)
        np.testing.assert_array_equal(compute.Movie(data, 1)[0:6], frames)


class FakePipeline:
    """Registers by copying, finds nothing, and fails in detection as often as it is told to."""

    def __init__(self, failures):
        self.failures, self.registered, self.detected = failures, 0, 0
        self.io, self.registration = self, self

    class BinaryFile:
        def __init__(self, ny, nx, path, n_frames=None, write=False):
            mode = "w+" if write else "r"
            self.file = np.memmap(path, np.int16, mode, shape=(n_frames, ny, nx) if write else None)

        def close(self):
            self.file._mmap.close()

    def pipeline(self, folder, f_reg, f_raw=None, run_registration=True, settings=None, device=None):
        if run_registration:
            assert settings["run"]["do_detection"] is False
            self.registered += 1
            frames, ny, nx = f_raw.shape
            f_reg.file[:] = f_raw[0:frames]
            mean = f_reg.file.mean(axis=0)
            reg = {"yrange": [0, ny], "xrange": [0, nx], "badframes": np.zeros(frames, bool), "meanImg": mean}
            return reg, *(None,) * 10, {"registration": 1.0}
        self.detected += 1
        if self.detected <= self.failures:
            raise MemoryError("too large")
        raise ValueError("no ROIs were found")


@pytest.fixture
def plane_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", type(sys)("torch"))
    sys.modules["torch"].device = str
    settings = {"torch_device": "cpu", "run": {}, "registration": {"block_size": (64, 64)}}
    usual = ramp(np.int16, 100)
    usual[3] = 9

    def make(fake, register=True, movie=usual):
        path = tmp_path / "movie.h5"
        with h5py.File(path, "w") as file:
            file["data"] = movie
        source = {"file": str(path), "data": "data"}
        with compute.ChannelMovies({"movie": source}, quiet, 1) as sources:
            return compute.PlaneRun(
                fake, sources, None, settings, tmp_path, compute.LogFollower(quiet)
            ).compute_arrays(register, True)

    return make


def test_a_run_goes_on_after_its_registration(plane_run, tmp_path):
    fake = FakePipeline(failures=1)
    with pytest.raises(MemoryError):
        plane_run(fake)
    arrays = plane_run(fake)
    assert (fake.registered, fake.detected) == (1, 2)
    assert len(arrays["rois/index"]) == 0
    assert arrays["images/mean"].shape == (3, 4)
    assert not list(tmp_path.rglob("*.bin"))
    again = plane_run(fake)  # a finished plane is taken as it is
    assert (fake.registered, fake.detected) == (1, 2)
    assert {name: values.tolist() for name, values in again.items()} == {
        name: values.tolist() for name, values in arrays.items()
    }


def test_a_movie_that_is_not_registered_and_holds_no_cell_has_its_mean(plane_run):
    arrays = plane_run(FakePipeline(failures=0), register=False)
    assert len(arrays["rois/index"]) == 0
    assert "shifts" not in arrays
    movie = ramp(np.int16, 100)
    movie[3] = 9
    np.testing.assert_allclose(arrays["images/mean"], movie.mean(axis=0), rtol=1e-6)
    assert np.flatnonzero(arrays["bad_frames"]).tolist() == [3]


@pytest.mark.parametrize("register", [True, False])
def test_a_movie_of_constant_frames_only_is_refused(plane_run, register):
    with pytest.raises(ValueError, match="every frame of the movie is constant"):
        plane_run(FakePipeline(failures=0), register=register, movie=np.full((5, 3, 4), 7, np.int16))


def test_constant_frames_are_excluded(plane_run):
    assert np.flatnonzero(plane_run(FakePipeline(failures=0))["bad_frames"]).tolist() == [3]


def test_planes_are_joined():
    from nwbpipe.processors.imaging.suite2p import _store as store

    def plane(rois, red):
        stat = [
            {
                "ypix": np.array([1, 2]),
                "xpix": np.array([3, 3 + k]),
                "lam": np.ones(2),
                "med": [1, 3],
                **dict.fromkeys(store.FIELDS, k),
            }
            for k in range(rois)
        ]
        traces = {key: np.arange(rois * 5.0).reshape(rois, 5) for key in ("F", "Fneu", "spks")}
        scores = np.tile([1, 0.75], (rois, 1))
        reg = {
            "yrange": [rois, 8],
            "xrange": [0, 9 - rois],
            "yoff": np.full(5, rois),
            "xoff": np.zeros(5),
            "corrXY": np.ones(5),
        }
        reg["meanImg"] = np.full((8, 9), rois)
        det = {"max_proj": np.ones((8 - rois, 9 - rois))[: 8 - rois]} if rois else {}  # none where nothing is found
        outputs = {"reg": reg, "det": det, "stat": stat, **(traces if rois else {"F": None}), "iscell": scores}
        return store.plane_arrays({**outputs, **({"redcell": scores} if red else {})}, (5, 8, 9), (2.0,), None)

    joined = store.join_planes([plane(2, True), plane(0, True), plane(1, True)])
    assert joined["rois/plane"].tolist() == [0, 0, 2]
    assert joined["rois/index"].tolist() == [2, 4, 6]
    assert joined["rois/x"].tolist() == [3, 3, 3, 4, 3, 3]
    assert joined["rois/red"].tolist() == [True] * 3
    assert joined["traces/fluorescence"].shape == (5, 3)
    np.testing.assert_array_equal(joined["traces/fluorescence"][:, 2], 2 * np.arange(5))
    assert joined["images/mean"].shape == (9, 8, 3)
    assert joined["images/mean"][0, 0].tolist() == [4, 0, 2]
    assert joined["images/max_projection"][3, 4].tolist() == [2, 0, 2]
    assert joined["shifts"].shape == (5, 3, 2)
    assert joined["shifts"][0, :, 1].tolist() == [2, 0, 1]
    assert joined["valid"].tolist() == [0, 7, 2, 8]
    assert store.join_planes([plane(0, False), plane(0, False)])["traces/fluorescence"].shape == (5, 0)
