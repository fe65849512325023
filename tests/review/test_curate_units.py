"""A person's curation of units: labels, merges, splits, removals, bound to the run; no spike is lost or doubled."""

import json
import shutil
from pathlib import Path

import numpy as np
import pynwb
import pytest

from nwbpipe.errors import InputError, ResultExistsError, SourceError
from nwbpipe.review import curate
from nwbpipe.run import load
from nwbpipe.session import check
from tests.fixtures.processing import keep_places
from tests.processors.ephys import recording as rec
from tests.processors.ephys.phy_folder import COUNTS, write_phy

V2 = {
    "format_version": "2",
    "unit_ids": [0, 1, 2, 5],
    "label_definitions": {"quality": {"label_options": ["good", "MUA", "noise"], "exclusive": True}},
    "manual_labels": [
        {"unit_id": 0, "labels": {"quality": ["good"]}},
        {"unit_id": "100", "labels": {"quality": ["MUA"]}},
    ],
    "removed": [5],
    "merges": [{"unit_ids": [0, 2], "new_unit_id": 100}],
    "splits": [{"unit_id": 1, "mode": "indices", "indices": [[0, 1, 2, 3, 4]], "new_unit_ids": [101, 102]}],
}  # fmt: skip


@pytest.fixture(scope="module")
def sorted_session(tmp_path_factory):
    with keep_places(tmp_path_factory.mktemp("sorted")) as folder:
        path = rec.write_session(folder / "s.nwb", np.ones((50_000, 4), "int16"), places=rec.column(4))
        load(path, "spikesorting", write_phy(folder / "phy"), step="sort")
    return path


@pytest.fixture
def session(sorted_session, tmp_path):
    """A copy, which may be changed."""
    return Path(shutil.copy2(sorted_session, tmp_path / "s.nwb"))


def write_json(tmp_path, content):
    path = tmp_path / "curation.json"
    path.write_text(json.dumps(content))
    return path


def read(session):
    with rec.opened(session) as nwbfile:
        module = nwbfile.processing["ecephys"]
        table, sources = module["Units_sort_curation"], module["Units_sort"]
        assert table["source_units"].target.table is sources
        names = list(table["unit_name"][:])
        trains = dict(zip(names, (table["spike_times"][row] for row in range(len(names))), strict=True))
        labels = dict(zip(names, table["quality_label"][:], strict=True))
        ends = [0, *table["source_units"].data[:]]
        flat = table["source_units"].target.data[:]
        rows = {name: list(flat[ends[n] : ends[n + 1]]) for n, name in enumerate(names)}
        original = {str(sources["unit_name"][row]): sources["spike_times"][row] for row in range(len(sources))}
    return trains, labels, rows, original


def test_merges_splits_and_removals_make_curated_units(session, tmp_path):
    record = curate(session, "sort", write_json(tmp_path, V2), who="Ada")
    trains, labels, rows, original = read(session)
    assert [finding for finding in check(session, rehash=True).findings if finding.kind == "input"] == []
    assert {name: len(train) for name, train in trains.items()} == {"100": 60, "101": 5, "102": 25}
    np.testing.assert_array_equal(trains["100"], np.sort(np.concatenate([original["0"], original["2"]])))
    np.testing.assert_array_equal(trains["101"], original["1"][:5])
    np.testing.assert_array_equal(trains["102"], original["1"][5:])
    assert labels == {"100": "MUA", "101": "", "102": ""}
    assert rows == {"100": [0, 2], "101": [1], "102": [1]}
    assert {name: len(train) for name, train in original.items()} == {str(key): n for key, n in COUNTS.items()}
    assert record.parameters["who"] == "Ada"
    assert record.sources[0]["path"] == "curation.json"
    assert pynwb.validate(path=session) == []


@pytest.mark.parametrize(
    "content",
    [
        {
            "format_version": "1",
            "unit_ids": [0, 1, 2, 5],
            "label_definitions": {"quality": {"label_options": ["good"], "exclusive": True}},
            "manual_labels": [{"unit_id": 1, "quality": ["good"]}],
            "merge_unit_groups": [[0, 2]],
            "removed_units": [],
        },
        {"labelsByUnit": {"1": ["good"]}, "mergeGroups": [["0", "2"]]},
        {
            "format_version": "2",
            "unit_ids": ["0", "1", "2", "5"],
            "manual_labels": [{"unit_id": "1", "labels": {"quality": ["good"]}}],
            "merges": [{"unit_ids": ["0", "2"]}],
        },
    ],
    ids=["1", "0", "2"],
)
def test_each_format_gives_the_same_units(session, tmp_path, content):
    curate(session, "sort", write_json(tmp_path, content), who="Ada")
    trains, labels, rows, _ = read(session)
    assert {name: len(train) for name, train in trains.items()} == {"0+2": 60, "1": 30, "5": 10}
    assert (labels["1"], rows["0+2"]) == ("good", [0, 2])


def test_a_table_of_labels_leaves_the_spikes_alone(session, tmp_path):
    (tmp_path / "labels.csv").write_text("unit,label\n0,good\n5,noise\n")
    curate(session, "sort", tmp_path / "labels.csv", who="Ada")
    trains, labels, _, original = read(session)
    assert labels == {"0": "good", "1": "", "2": "", "5": "noise"}
    for name, train in original.items():
        np.testing.assert_array_equal(trains[name], train)


def test_an_earlier_curation_is_replaced_only_when_asked(session, tmp_path):
    path = write_json(tmp_path, V2)
    curate(session, "sort", path, who="Ada")
    with pytest.raises(ResultExistsError, match="has a curation already"):
        curate(session, "sort", path, who="Bea")
    assert curate(session, "sort", path, who="Bea", replace=True).parameters["who"] == "Bea"


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"unit_ids": [0, 1, 2, 7]}, InputError, "the curation is of other units"),
        ({"unit_ids": [0, 1, 2]}, InputError, "the curation is of other units"),
        ({"removed": [9]}, InputError, "the curation is of other units"),
        ({"removed": [0]}, InputError, "removes a unit twice"),
        (
            {"merges": [{"unit_ids": [0, 2]}, {"unit_ids": [2, 5]}], "removed": [], "manual_labels": []},
            InputError,
            "removes a unit twice",
        ),
        ({"splits": [{"unit_id": 1, "indices": [[0, 30]]}]}, InputError, "does not fit its spikes"),
        (
            {"merges": [{"unit_ids": [0, 2], "new_unit_id": 1}], "splits": [], "manual_labels": []},
            InputError,
            "two curated units have one name",
        ),
        ({"format_version": "9"}, SourceError, "format_version '9' is unknown"),
    ],
    ids=["other", "fewer", "unknown", "merged and removed", "merged twice", "split", "name", "version"],
)  # fmt: skip
def test_a_curation_that_does_not_fit_leaves_the_file_alone(session, tmp_path, change, error, text):
    before = session.read_bytes()
    with pytest.raises(error, match=text):
        curate(session, "sort", write_json(tmp_path, {**V2, **change}), who="Ada")
    assert session.read_bytes() == before
