"""The processor `caiman` without CaImAn: its parameters, what goes in, and what becomes of what comes out."""

import h5py
import numpy as np
import pytest
from pydantic import ValidationError
from pynwb import NWBHDF5IO, validate

import nwbpipe
from nwbpipe.environments import find
from nwbpipe.errors import InputError, ToolMissingError
from nwbpipe.processors import Context, Results, processor
from nwbpipe.processors.imaging import Caiman, CaimanParams
from nwbpipe.processors.imaging._settings import nest_settings, own_settings
from nwbpipe.processors.imaging.caiman import _compute as compute
from nwbpipe.processors.imaging.caiman._params import SETTINGS
from nwbpipe.processors.imaging.caiman._store import store_components
from tests.processors.imaging.session import bound_movie, write_session

FRAMES, NX, NY = 40, 24, 18


def movie(shape=(FRAMES, NX, NY)):
    return np.random.default_rng(0).integers(0, 100, shape).astype(np.int16)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"decay_time": 0}, "greater than 0"),
        ({"K": None}, "CNMF needs a number of components"),
        ({"nb": 0}, "CNMF needs a background"),
        ({"stride": 10}, "without rf"),
        ({"gSig": (0, 5)}, "at least 1 pixel"),
        ({"motion": "elastic"}, "none"),
        ({"use_cn": True}, "Extra inputs"),
        ({"settings": {"spatial": {"nrgth": 0.9}}}, "did you mean 'spatial.nrgthr'"),
        ({"settings": {"quality": {"min_SNR": 3}}}, "'min_SNR' of this processor"),
        ({"settings": {"data": {"fnames": "x.tif"}}}, "input 'movie'"),
        ({"settings": {"online": {"epochs": 2}}}, "the groups are"),
        ({"settings": {"spatial": 3}}, "not a group"),
    ],
)
def test_a_wrong_parameter_is_refused(params, message):
    with pytest.raises(ValidationError, match=message):
        CaimanParams(**params)


def test_no_name_is_both_ours_and_a_setting():
    assert not set(own_settings(CaimanParams)) & {
        f"{group}.{name}" for group, names in SETTINGS.items() for name in names
    }


def test_the_package_of_that_name_on_an_index_is_never_asked_for():
    assert not [text for text in Caiman.tool.from_index if text.startswith("caiman")]


def test_the_network_is_asked_for_where_it_is_to_judge(tmp_path, monkeypatch):
    monkeypatch.setenv("NWBPIPE_TOOL_CAIMAN_WEIGHTS", str(tmp_path))
    with pytest.raises(ToolMissingError, match=r"(?s)cnn_model\.h5.*model/ of CaImAn's repository"):
        find(Caiman().tool_for(CaimanParams(use_cnn=True)))


def prepare(path, **params):
    with NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        return Caiman().prepare(nwbfile, Context("caiman", CaimanParams(**params), bound_movie(nwbfile)))


def test_a_movie_that_does_not_fit_is_refused(tmp_path):
    path = write_session(tmp_path / "a.nwb", movie(), rate=10.0)
    assert prepare(path)["shape"] == [FRAMES, NX, NY]
    with pytest.raises(InputError, match="larger than the frame"):
        prepare(path, motion="piecewise", strides=(10, 10), overlaps=(8, 9))
    assert prepare(path, motion="piecewise", strides=(10, 10), overlaps=(8, 8))
    volume = write_session(tmp_path / "b.nwb", movie((FRAMES, NX, NY, 3)), rate=10.0)
    with pytest.raises(InputError, match="several planes"):
        prepare(volume)


# What goes in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "kept"), [("i2", "i2"), ("u2", "u2"), ("i4", "f4"), ("f8", "f4"), ("u1", "u1")])
def test_the_movie_is_copied_as_it_is(tmp_path, dtype, kept):
    values = movie().astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", data=values, chunks=(3, NX, NY))
        compute.copy_movie(data, tmp_path / "copy.h5", lambda fraction, text: None)
    with h5py.File(tmp_path / "copy.h5") as file:
        assert file["mov"].dtype == np.dtype(kept)
        np.testing.assert_array_equal(file["mov"][:], values)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.full((5, 4, 4), np.nan, "f4"), ValueError, "NaN or infinite"),
        (np.zeros((5, 4, 4), "c8"), TypeError, "complex64"),
        (np.zeros((5, 4), "i2"), ValueError, "frames, x, y"),
    ],
)
def test_a_movie_that_can_not_be_used_is_refused(tmp_path, values, error, message):
    with h5py.File(tmp_path / "a.h5", "w") as file, pytest.raises(error, match=message):
        compute.copy_movie(
            file.create_dataset("data", data=values), tmp_path / "copy.h5", lambda fraction, text: None
        )


def test_our_parameters_are_caimans(tmp_path):
    params = CaimanParams(
        method="cnmfe", motion="piecewise", gSig=(3, 4), rf=20, nb=0, settings={"spatial": {"nrgthr": 0.9}}
    )
    groups = compute.caiman_params(
        params.model_dump(mode="json"), {"rate": 12.5, "settings": nest_settings(params)}, tmp_path / "movie.h5"
    )
    assert groups["data"]["fr"] == 12.5
    assert groups["motion"]["pw_rigid"] is True
    assert groups["init"]["method_init"] == "corr_pnr"
    assert groups["init"]["center_psf"] is True
    assert groups["init"]["gSig"] == [3, 4]
    assert groups["spatial"]["nrgthr"] == 0.9
    assert groups["init"]["nb"] == groups["patch"]["nb_patch"] == 0


def test_a_name_that_this_caiman_lacks_is_an_error():
    class Options:
        init = {"K": 30, "gSig": [5, 5]}  # noqa: RUF012

    compute.check_names({"init": {"K": 3}}, Options)
    with pytest.raises(ValueError, match="did you mean 'gSig'"):
        compute.check_names({"init": {"gSigg": 3}}, Options)
    with pytest.raises(ValueError, match="no group of parameters 'finit'"):
        compute.check_names({"finit": {}}, Options)


# What comes out ----------------------------------------------------------------------------------------------------


def model(seed=0):
    """Two components that don't overlap, one background, and no noise: CaImAn's form, and the movie that it means."""
    rng = np.random.default_rng(seed)
    footprints = np.zeros((2, NX, NY))
    footprints[0, 20:23, 1:4] = rng.random((3, 3)) + 0.5
    footprints[1, 3:6, 10:15] = rng.random((3, 5)) + 0.5
    traces, background = rng.random((2, FRAMES)), rng.random((NX, NY)) + 1
    course = rng.random(FRAMES) + 5
    scene = np.tensordot(traces.T, footprints, 1) + course[:, None, None] * background
    flat = footprints.transpose(0, 2, 1).reshape(2, -1)  # Fortran order over (x, y)
    pixels = [np.flatnonzero(one) for one in flat]
    columns = (
        np.concatenate(pixels),
        np.array([0, len(pixels[0]), len(pixels[0]) + len(pixels[1])]),
        np.concatenate([one[place] for one, place in zip(flat, pixels, strict=True)]),
    )
    values = {
        "C": traces,
        "YrA": np.zeros_like(traces),
        "S": traces * 2,
        "b": background.T.reshape(-1, 1),
        "f": course[None],
    }
    return footprints, columns, values, scene


def test_traces_are_weighted_means_of_the_movie(tmp_path):
    footprints, columns, values, scene = model()
    judged = {"idx_components": np.array([1]), "SNR_comp": np.array([1.0, 7.0])}
    with h5py.File(tmp_path / "r.h5", "w") as results:
        assert store_components(results, columns, values, judged, (FRAMES, NX, NY), 3.0) == 1
        weights = footprints / footprints.sum(axis=(1, 2), keepdims=True)
        mean = np.tensordot(scene + 3.0, weights, ([1, 2], [1, 2]))
        np.testing.assert_allclose(results["traces/RoiResponseSeries"], mean, rtol=1e-6)
        np.testing.assert_allclose(
            results["traces/RoiResponseSeries"][:] - results["traces/Neuropil"][:],
            results["traces/NeuropilCorrected"],
            atol=1e-5,
        )
        np.testing.assert_allclose(results["traces/Deconvolved"], 2 * results["traces/Denoised"][:], rtol=1e-6)
        rois = results["rois"]
        assert rois["iscell"][:].tolist() == [False, True]
        assert rois["npix"][:].tolist() == [9, 15]
        assert rois["snr"][:].tolist() == [1.0, 7.0]
        assert "cnn" not in rois
        back = np.zeros((2, NX, NY))
        back[np.repeat([0, 1], [9, 15]), rois["x"][:], rois["y"][:]] = rois["weight"][:]
        np.testing.assert_allclose(back, footprints, rtol=1e-6)
        grid = np.stack(np.meshgrid(np.arange(NX), np.arange(NY), indexing="ij"))
        np.testing.assert_allclose(rois["center"], np.einsum("kxy,cxy->kc", weights, grid), rtol=1e-5)


def test_without_a_background_there_is_no_raw_trace(tmp_path):
    _, columns, values, _ = model()
    with h5py.File(tmp_path / "r.h5", "w") as results:
        store_components(results, columns, {**values, "b": None}, {}, (FRAMES, NX, NY), 0.0)
        assert set(results["traces"]) == {"NeuropilCorrected", "Denoised", "Deconvolved"}
        assert "iscell" not in results["rois"]


def write(path, arrays, summary):
    with NWBHDF5IO(path, "a") as io:
        nwbfile = io.read()
        context = Context("caiman", CaimanParams(), bound_movie(nwbfile))
        Caiman().write(nwbfile, Results(arrays, summary), context)
        io.write(nwbfile)
    assert validate(path=str(path)) == []


@pytest.mark.parametrize("blocks", [False, True])
def test_results_are_valid_nwb(tmp_path, blocks):
    path = write_session(tmp_path / "a.nwb", movie(), rate=10.0, starting_time=1.5)
    footprints, columns, values, _ = model()
    with h5py.File(tmp_path / "r.h5", "w") as results:
        store_components(results, columns, values, {"idx_components": np.array([0])}, (FRAMES, NX, NY), 0.0)
        results["traces/DfOverF"] = np.zeros((FRAMES, 2), "f4")
        results["shifts"] = np.zeros((FRAMES, 2), "f4")
        results["images/mean"] = np.zeros((NX, NY), "f4")
        if blocks:
            results["blocks"] = np.array([[0, 24, 0, 18]], "i4")
            results["block_shifts"] = np.ones((FRAMES, 1, 2), "f4")
        write(path, results, {"rois": 2})
    with NWBHDF5IO(path, "r") as io:
        ophys = io.read().processing["ophys"]
        assert ("MotionCorrectionBlockShifts_caiman" in ophys.data_interfaces) == blocks
        assert ophys["DfOverF_caiman"]["DfOverF"].starting_time == 1.5
        table = ophys["ImageSegmentation_caiman"]["PlaneSegmentation_caiman"]
        assert table["iscell"].data[:].tolist() == [True, False]
        x, y, _ = next(iter(table["pixel_mask"][0]))
        assert footprints[0, int(x), int(y)] > 0


def test_nothing_found_is_a_valid_result(tmp_path):
    path = write_session(tmp_path / "a.nwb", movie(), rate=10.0)
    with h5py.File(tmp_path / "r.h5", "w") as results:
        results["images/mean"] = np.zeros((NX, NY), "f4")
        write(path, results, {"rois": 0})
    with h5py.File(path) as file:
        assert list(file["processing/ophys"]) == ["SummaryImages_caiman"]


def test_it_is_found_by_its_name():
    assert isinstance(processor("caiman"), Caiman)
    assert nwbpipe.Tool is type(Caiman.tool)
