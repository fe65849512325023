"""The data of what a query found in several session files."""

from __future__ import annotations

import numpy as np
import pytest
from pynwb import NWBHDF5IO

from nwbpipe.catalog import Catalog
from nwbpipe.errors import RequestError
from nwbpipe.export import Selection
from tests.export.sessions import SPIKES, write_arrays_session

OTHER = [np.array([1.05, 1.15]), np.array([2.55])]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The catalogue of two sessions of one subject."""
    folder = tmp_path_factory.mktemp("select")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NWBPIPE_CACHE", str(folder / "cache"))
        first = write_arrays_session(folder / "a.nwb")
        second = write_arrays_session(folder / "b.nwb", session_id="b", spikes=OTHER)
        for path in (first, second):
            with NWBHDF5IO(path, "a") as io:  # tables have columns that are called as the catalogue's own
                nwbfile = io.read()
                nwbfile.units.add_column("location", "region of the brain", data=["CA1", "CA3"])
                io.write(nwbfile)
        return Catalog.of_files([first, second])


def test_units_lead_to_their_spikes_and_to_trials(catalog: Catalog) -> None:
    units = Selection(catalog, "units WHERE depth >= 100 ORDER BY session_id DESC")
    assert [times.tolist() for times in units.spike_times()] == [[2.55], SPIKES[1].tolist()]
    assert units.to_pandas()["id"].tolist() == [8, 8]
    tree = units.align(around="trials.go_cue", window=(0, 1), bin=0.5)
    assert set(tree.children) == {"sub-M1_ses-a", "sub-M1_ses-b"}
    counts = tree["sub-M1_ses-b"]["units"]
    assert counts.unit.values.tolist() == [8]
    assert counts.values[:, :, 0].tolist() == [[0, 0], [0, 1]]


def test_a_condition_may_join_other_tables(catalog: Catalog) -> None:
    text = "units JOIN sessions USING (subject_id, session_id) WHERE identifier IS NOT NULL AND spike_count = 1"
    assert [times.tolist() for times in Selection(catalog, text).spike_times()] == [[2.55]]


def test_rois_lead_to_their_traces(catalog: Catalog) -> None:
    rois = Selection(catalog, "rois WHERE id = 22 AND session_id = 'a'")
    dff = rois.to_xarray(window=(1.0, 1.02))["sub-M1_ses-a/movie/Fluorescence.dff"]
    assert dff.roi.values.tolist() == [22]
    assert dff.values[:, 0].tolist() == [1050.0, 1051.0, 1052.0]
    aligned = rois.align(around="trials.go_cue", window=(0, 0.1), bin=0.1)["sub-M1_ses-a"]["Fluorescence.dff"]
    assert aligned.values[:, 0, 0].tolist() == [1054.5, 1154.5]


def test_series_lead_to_movies_that_are_not_read_yet(catalog: Catalog) -> None:
    movies = Selection(catalog, "series WHERE type = 'TwoPhotonSeries'")
    tree = movies.to_xarray()
    assert len(movies) == len(movies.files) == len(tree.children) == 2
    movie = tree["sub-M1_ses-b/movie/movie"]
    assert not movie.variable._in_memory
    assert movie.isel(time=399, x=3, y=2).item() == 4799


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trials", "rows of trials have no arrays"),
        ("unitz WHERE 1 = 1", "does not begin with a table"),
        ("", "does not begin with a table"),
        ("units WHERE nothing > 1", "can't be answered"),
    ],
)
def test_what_is_no_such_query_is_refused(catalog: Catalog, text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Selection(catalog, text)


def test_nothing_found_is_nothing(catalog: Catalog) -> None:
    empty = Selection(catalog, "units WHERE depth > 1000")
    assert (len(empty), empty.spike_times(), len(empty.to_pandas())) == (0, [], 0)
    with pytest.raises(RequestError, match="spikes are not samples"):
        empty.to_xarray()
