"""Finished sortings as sources: a spike that the reader would drop is an error."""

import pytest

from nwbpipe.converters.interfaces._guards_sorting import guard_phy
from tests.processors.ephys.phy_folder import COUNTS, table, write_phy

ALL = {f"c{cluster}": "good" for cluster in COUNTS}


def test_clusters_that_one_table_leaves_out_are_named(tmp_path):
    folder = write_phy(tmp_path / "phy", group=table("group", c0="good", c5="noise"), KSLabel=table("KSLabel", **ALL))
    (problem,) = guard_phy({"folder_path": folder})
    assert problem.found == "50 spikes of 2 clusters: 1, 2"
    assert "nwbpipe load" in problem.hint


def test_what_is_lost_is_what_the_reader_drops(tmp_path):
    extractors = pytest.importorskip("spikeinterface.extractors", reason="needs nwbpipe[ephys]")
    folder = write_phy(tmp_path / "phy", group=table("group", c0="good", c5="noise"), KSLabel=table("KSLabel", **ALL))
    sorting = extractors.read_phy(folder)
    counts = sorting.count_num_spikes_per_unit()
    assert sum(counts.values()) == sum(COUNTS.values()) - 50


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"group": table("group", **ALL)},
        {"info": table("group", **ALL), "group": table("group", c0="good")},
        {"group": table("group", **ALL), "KSLabel": table("KSLabel", **ALL, c9="mua")},
    ],
    ids=["no table", "one table", "cluster_info", "an emptied cluster"],
)
def test_a_folder_that_loses_nothing_passes(tmp_path, tables):
    assert guard_phy({"folder_path": write_phy(tmp_path / "phy", **tables)}) == []


def test_clusters_that_are_left_out_on_purpose_are_not_lost(tmp_path):
    labels = {**ALL, "c5": "noise"}
    folder = write_phy(tmp_path / "phy", group=table("group", **labels))
    assert guard_phy({"folder_path": folder, "exclude_cluster_groups": ["noise"]}) == []


def test_a_blank_cluster_is_a_problem(tmp_path):
    folder = write_phy(tmp_path / "phy", group="cluster_id\tgroup\n\tgood\n")
    (problem,) = guard_phy({"folder_path": folder})
    assert "does not name its own cluster" in problem.what
