"""What is refused before anything runs, and what the sorter is told of the electrodes."""

import numpy as np
import pytest
from pydantic import ValidationError

from nwbpipe.errors import InputError
from nwbpipe.processors import processor
from nwbpipe.processors.ephys import SpikeSorting, SpikeSortingParams
from tests.processors.ephys import recording as rec


@pytest.fixture
def prepared(tmp_path):
    def prepare(data=None, params=None, **session):
        data = np.zeros((100, 4), "int16") if data is None else data
        path = rec.write_session(tmp_path / "s.nwb", data, **session)
        with rec.opened(path) as nwbfile:
            return SpikeSorting().prepare(nwbfile, rec.context_of(nwbfile, **(params or {})))

    return prepare


def test_it_is_registered():
    assert isinstance(processor("spikesorting"), SpikeSorting)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"sorter": "spyking_circus2"}, "did you mean 'spykingcircus2'"),
        ({"sorter": "x"}, "mountainsort5"),
        ({"freq_min": 7000.0}, "expected less than freq_max"),
        ({"freq_min": None}, "freq_max needs freq_min"),
        ({"freq_min": -1.0}, "greater than 0"),
        ({"common_reference": "mean"}, "'auto', 'median', 'average' or 'none'"),
        ({"max_spikes_per_unit": 0}, "greater than or equal to 10"),
        ({"waveforms_per_unit": 501}, "waveforms_per_unit is 501; expected at most max_spikes_per_unit, 500"),
        ({"whiten": True}, "Extra inputs"),
    ],
)
def test_bad_parameters_are_refused(params, text):
    with pytest.raises(ValidationError, match=text):
        SpikeSortingParams(**params)


def test_every_parameter_is_described():
    assert [name for name, field in SpikeSortingParams.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("sorter", "package"),
    [("spykingcircus2", "spikeinterface"), ("kilosort4", "kilosort"), ("kilosort2_5", "spikeinterface")],
)
def test_a_sorter_names_its_tool(sorter, package):
    assert SpikeSorting().tool_for(SpikeSortingParams(sorter=sorter)).package == package


def test_gains_are_microvolts(prepared):
    facts = prepared(places=rec.column(4), channel_conversion=[1.0, 2.0, 3.0, 4.0], offset=1e-5)
    np.testing.assert_allclose(facts["gains_to_uv"], [0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(facts["offsets_to_uv"], 10.0)


@pytest.mark.parametrize(
    ("series", "text"),
    [
        ({"channel_conversion": [1.0, 0.0, np.nan, 1.0]}, r"(?s)channels have no gain.*1: 0, 2: nan"),
        ({"conversion": 1.0}, r"(?s)no gain: its integers would be volts.*SeriesInterface with its conversion"),
    ],
)
def test_channels_without_gain_are_refused(prepared, series, text):
    with pytest.raises(InputError, match=text):
        prepared(places=rec.column(4), **series)


def test_geometry_is_that_of_the_series_columns(prepared):
    facts = prepared(places=rec.column(4), order=[2, 0, 3, 1], groups=["b", "a", "b", "a"])
    np.testing.assert_array_equal(facts["locations"], rec.column(4))
    assert (facts["group_names"], facts["groups"]) == (["b", "a"], [0, 1, 0, 1])


def test_positions_in_space_are_laid_into_the_probes_plane(prepared):
    flat = rec.column(4, pitch=30.0)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    places = np.column_stack([flat, np.zeros(4)]) @ turn + 1000.0
    found = np.asarray(prepared(places=places, names=("x", "y", "z"))["locations"])

    def distances(points):
        return np.linalg.norm(points[:, None] - points[None], axis=2)

    np.testing.assert_allclose(distances(found), distances(flat), atol=1e-9)


@pytest.mark.parametrize(
    "places", [None, np.full((4, 2), np.nan), np.zeros((4, 2))], ids=["none", "NaN", "all in one place"]
)
def test_without_geometry_it_is_refused(prepared, places):
    with pytest.raises(InputError, match="rel_x and rel_y") as caught:
        prepared(places=places)
    assert "name the probe in session.yaml" in str(caught.value)


def test_without_geometry_some_sorters_go_on(prepared):
    facts = prepared(params={"sorter": "waveclus"})
    assert not facts["has_geometry"]
    assert len(np.unique(facts["locations"], axis=0)) == 4


def test_one_channel_needs_no_geometry(prepared):
    assert prepared(np.zeros((100, 1), "int16"))["groups"] == [0]


@pytest.mark.parametrize("times", [{"rate": 2500.0}, {"timestamps": np.arange(100) / 2500.0}])
def test_a_field_potential_is_refused(prepared, times):
    with pytest.raises(InputError, match="below half of the sampling rate, 1250 Hz"):
        prepared(places=rec.column(4), **times)


def test_an_empty_series_is_refused(prepared):
    with pytest.raises(InputError, match="holds no samples"):
        prepared(np.zeros((0, 4), "int16"), places=rec.column(4))


NEUROPIXELS = np.column_stack([np.tile([16.0, 48.0, 0.0, 32.0], 16), 20.0 * (np.arange(64) // 2)])


@pytest.mark.parametrize(
    ("places", "params", "expected", "text"),
    [
        (NEUROPIXELS, {}, ("decentralized", [0]), ""),
        (rec.column(4), {}, ("none", []), "no electrode group has more than 32 channels"),
        (
            np.column_stack([100.0 * (np.arange(64) % 8), 100.0 * (np.arange(64) // 8)]),
            {},
            ("none", []),
            "no electrode",
        ),
        (NEUROPIXELS, {"motion": "none"}, ("none", []), "as asked for"),
        (NEUROPIXELS, {"motion": "dredge"}, ("dredge", [0]), ""),
        (NEUROPIXELS, {"sorter": "kilosort4"}, ("sorter", []), "the sorter's own method"),
        (NEUROPIXELS, {"sorter_params": {"apply_motion_correction": True}}, ("sorter", []), "left to the sorter"),
    ],
    ids=["dense", "few channels", "wide array", "none", "dredge", "kilosort4", "the sorter's parameter"],
)
def test_motion_correction_is_chosen_before_the_computation(prepared, places, params, expected, text):
    facts = prepared(np.zeros((100, len(places)), "int16"), places=places, params=params)
    assert (facts["motion_method"], facts["motion_groups"]) == expected
    assert text in facts["motion_reason"]


def test_a_method_that_the_probe_does_not_allow_is_refused(prepared):
    with pytest.raises(InputError, match="not dense enough for motion"):
        prepared(places=rec.column(4), params={"motion": "decentralized"})


@pytest.mark.parametrize(
    ("params", "tool"),
    [
        ({}, "spikeinterface"),
        ({"motion": "dredge_fast"}, "spikeinterface_torch"),
        ({"motion": "sorter"}, "spikeinterface_torch"),
        ({"motion": "sorter", "sorter": "tridesclous2"}, "spikeinterface"),
        ({"sorter_params": {"apply_motion_correction": False}}, "spikeinterface"),
        ({"motion": "sorter", "sorter_params": {"motion_correction": {"preset": "kilosort_like"}}}, "spikeinterface"),
        ({"motion": "dredge", "sorter": "mountainsort5"}, "mountainsort5_torch"),
        ({"motion": "dredge", "sorter": "kilosort4"}, "kilosort4"),
    ],
)
def test_torch_is_asked_for_where_motion_correction_needs_it(params, tool):
    """The tool is looked up before anything runs: its error names the package and the command."""
    chosen = SpikeSorting().tool_for(SpikeSortingParams(**params))
    assert chosen.name == tool
    assert chosen in (SpikeSorting.tool, *SpikeSorting.further_tools)


def test_missing_torch_is_refused_with_its_remedy():
    from nwbpipe import environments
    from nwbpipe.errors import ToolMissingError

    pytest.importorskip("spikeinterface", reason="the tool itself has to be there")
    try:
        import torch  # noqa: F401
    except ImportError:
        with pytest.raises(ToolMissingError, match=r"torch>=2 \(not installed\)") as caught:
            environments.find(SpikeSorting().tool_for(SpikeSortingParams(motion="dredge")))
        assert "nwbpipe tools install spikeinterface_torch" in str(caught.value)


def test_motion_can_not_be_corrected_twice_nor_by_torch_that_a_container_lacks():
    with pytest.raises(ValidationError, match=r"container of the sorter 'kilosort2_5' may lack it.*inputs\.motion"):
        SpikeSortingParams(motion="dredge", sorter="kilosort2_5")
    with pytest.raises(ValidationError, match="only one of them may decide"):
        SpikeSortingParams(motion="decentralized", sorter_params={"nblocks": 1})


@pytest.mark.parametrize(
    ("params", "gpus"),
    [
        ({}, 0),
        ({"sorter": "kilosort4"}, 1),
        ({"sorter": "kilosort4", "sorter_params": {"torch_device": "cpu"}}, 0),
        ({"sorter": "mountainsort5"}, 0),
        ({"sorter": "lupin"}, 0),
        ({"sorter": "kilosort2_5"}, 1),
    ],
)
def test_a_gpu_is_asked_for_by_sorters_that_use_one(params, gpus):
    assert SpikeSorting().resources_for(SpikeSortingParams(**params)).gpu == gpus


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, None),
        ({"adc_sample_order": [0, 1, 2, 11]}, [0, 1 / 13, 2 / 13, 11 / 13]),
        ({"adc_sample_order": [0, 1, 2, 15]}, [0, 1 / 16, 2 / 16, 15 / 16]),
        ({"inter_sample_shift": [0.0, 0.25, 0.5, 0.75], "adc_sample_order": [0, 1, 2, 3]}, [0.0, 0.25, 0.5, 0.75]),
    ],
    ids=["unknown", "Neuropixels 1.0", "Neuropixels 2.0", "in the file"],
)
def test_delays_of_the_converter_are_those_of_the_electrodes(prepared, columns, expected):
    found = prepared(places=rec.column(4), columns=columns)["inter_sample_shift"]
    assert found == (None if expected is None else pytest.approx(expected))
