"""The declaration: parameters, and what is refused before anything runs."""

import numpy as np
import pytest
from pydantic import ValidationError
from pynwb import NWBHDF5IO

from nwbpipe.errors import InputError
from nwbpipe.processors import BoundInput, Context, processor
from nwbpipe.processors.imaging import Suite2p, Suite2pParams
from nwbpipe.processors.imaging._settings import nest_settings
from tests.processors.imaging.session import bound_movie, write_session


def prepare(path):
    with NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        return Suite2p().prepare(nwbfile, Context("suite2p", Suite2pParams(), bound_movie(nwbfile)))


def movie(frames=30, size=(24, 18), dtype=np.int16):
    return np.ones((frames, *size), dtype)


def test_it_is_found_by_its_name():
    assert isinstance(processor("suite2p"), Suite2p)


@pytest.mark.parametrize(
    "params",
    [
        {"tau": 0},
        {"tau": 11},
        {"diameter": (0, 12)},
        {"diameter": 12},
        {"block_size": (0, 128)},
        {"nimg_init": 0},
        {"batch_size": 0},
        {"maxregshift": 1.5},
        {"smooth_sigma": 0},
        {"algorithm": "cellpose"},
        {"spatial_scale": 5},
        {"threshold_scaling": 0},
        {"max_overlap": 1.1},
        {"neuropil_coefficient": -0.1},
        {"cell_threshold": 1.5},
        {"device": "tpu"},
        {"taau": 1},
    ],
)
def test_a_parameter_out_of_range_is_refused(params):
    with pytest.raises(ValidationError):
        Suite2pParams(**params)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"registration": {"smooth_sigma_tme": 1}}, "did you mean 'registration.smooth_sigma_time'"),
        ({"detection": {"sparsery_settings": {"max_ROI": 5}}}, "detection.sparsery_settings.max_ROIs"),
        ({"registration": {"nonrigid": False}}, "is the parameter 'nonrigid'"),
        ({"classification": {"classifier_path": "x.npy"}}, "no setting 'classification.classifier_path'"),
        ({"torch_device": "cuda"}, "no setting 'torch_device'"),
        ({"registration": 3}, "no setting 'registration'"),
        ({"io": {"save_mat": True}}, "no setting"),
    ],
)
def test_an_unknown_or_doubled_setting_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Suite2pParams(settings=settings)


def test_known_settings_are_taken():
    settings = {
        "registration": {"snr_thresh": 1.3},
        "detection": {"highpass_time": 50, "sparsery_settings": {"max_ROIs": 10}},
        "dcnv_preprocess": {"win_baseline": 30.0},
    }
    assert Suite2pParams(settings=settings).settings == settings


def test_the_rate_is_the_movies(tmp_path):
    path = write_session(tmp_path / "a.nwb", movie(), rate=12.5)
    facts = prepare(path)
    assert facts.pop("settings") == nest_settings(Suite2pParams())
    assert facts == {"rate": 12.5, "shape": [30, 24, 18], "gaps": 0}


def test_regular_timestamps_give_a_rate(tmp_path):
    jitter = np.random.default_rng(0).normal(0, 1e-4, 30)
    path = write_session(tmp_path / "a.nwb", movie(), timestamps=5 + np.arange(30) / 20 + jitter)
    facts = prepare(path)
    assert facts["rate"] == pytest.approx(20, rel=0.01)
    assert facts["gaps"] == 0


def test_a_rare_gap_is_told(tmp_path):
    times = np.arange(300) / 20
    times[100:] += 0.2
    path = write_session(tmp_path / "a.nwb", movie(300), timestamps=times)
    facts = prepare(path)
    assert facts["gaps"] == 1
    assert facts["rate"] == pytest.approx(20)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.cumsum(np.random.default_rng(0).exponential(0.1, 30)), "not regular"),
        (np.r_[np.arange(29) / 20, 0.5], "do not increase"),
        (np.zeros(30), "do not increase"),
    ],
)
def test_irregular_timestamps_are_refused(tmp_path, times, message):
    path = write_session(tmp_path / "a.nwb", movie(), timestamps=times)
    with pytest.raises(InputError, match=message):
        prepare(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.ones((24, 18, 300), np.int16), "in another order"),
        (np.ones((24, 300, 18), np.int16), "in another order"),
        (movie(5), "too small"),
        (movie(30, (24, 8)), "too small"),
    ],
)
def test_a_movie_that_suite2p_cannot_use_is_refused(tmp_path, data, message):
    path = write_session(tmp_path / "a.nwb", data, rate=10.0)
    with pytest.raises(InputError, match=message) as caught:
        prepare(path)
    assert caught.value.problem.hint
    assert "TwoPhotonSeries" in str(caught.value)


def test_an_external_movie_is_refused(tmp_path):
    path = write_session(
        tmp_path / "a.nwb",
        None,
        rate=10.0,
        external_file=["movie.avi"],
        format="external",
        starting_frame=[0],
        num_samples=30,
        dimension=[24, 18],
    )
    with pytest.raises(InputError, match="external file"):
        prepare(path)


def test_a_second_channel_that_is_another_movie_or_missing_is_refused(tmp_path):
    other = {"Red": movie(), "Short": movie(29)}
    path = write_session(tmp_path / "a.nwb", movie(), rate=10.0, more=other)
    with NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()

        def facts(name, **params):
            bound = bound_movie(nwbfile)
            if name:
                found = nwbfile.acquisition[name]
                bound["second_channel"] = BoundInput("second_channel", name, "TwoPhotonSeries", found.object_id)
            return Suite2p().prepare(nwbfile, Context("suite2p", Suite2pParams(**params), bound))

        channel = facts("Red", align_by_second_channel=True)
        assert channel.pop("settings")["registration"]["align_by_chan2"] is True
        assert facts(None) == {**channel, "settings": nest_settings(Suite2pParams())}
        with pytest.raises(InputError, match="don't belong together"):
            facts("Short")
        with pytest.raises(InputError, match="none is bound"):
            facts(None, align_by_second_channel=True)
