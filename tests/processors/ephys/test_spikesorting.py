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
    [("spykingcircus2", "spikeinterface"), ("kilosort4", "kilosort"), ("lupin", "spikeinterface")],
)
def test_a_sorter_names_its_tool(sorter, package):
    assert SpikeSorting().tool_for(SpikeSortingParams(sorter=sorter)).package == package


def test_gains_are_microvolts(prepared):
    facts = prepared(places=rec.column(4), channel_conversion=[1.0, 2.0, 3.0, 4.0], offset=1e-5)
    np.testing.assert_allclose(facts["gains_to_uv"], [0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(facts["offsets_to_uv"], 10.0)


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
    assert "add the probe's geometry" in str(caught.value)


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
