"""Comparison of units by their spikes, and the verdicts on units in a file."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData
from matplotlib.image import imread

import nwbpipe
from nwbpipe.cli import main
from nwbpipe.errors import RequestError, UnknownNameError
from nwbpipe.processors.ephys import UNIT_METRICS
from nwbpipe.provenance import ObjectRecord, add_record
from nwbpipe.quality import ThresholdSet
from nwbpipe.review import (
    _quality,
    compare_units,
    curate,
    list_measurable_steps,
    list_unmeasured_steps,
    measure_quality,
    passed,
    verdicts,
)
from nwbpipe.review._compare_units import compare_trains, count_coincidences
from nwbpipe.run import load
from tests.processors.ephys import recording as rec
from tests.processors.ephys.phy_folder import COUNTS, write_phy
from tests.provenance.records import make_record

TOLERANCE = 4e-4


def draw_trains(rng, units, spikes, duration=5.0):
    return [np.sort(np.round(rng.uniform(0, duration, spikes) * 30_000) / 30_000) for _ in range(units)]


def pair_by_hand(first, second, tolerance):
    """Return the largest number of pairs, each spike in one at most: the earliest partner that is left."""
    left, count = list(second), 0
    for time in first:
        partner = next((other for other in left if abs(other - time) <= tolerance + 1e-9), None)
        if partner is not None:
            left.remove(partner)
            count += 1
    return count


def test_coincidences_are_one_to_one():
    rng = np.random.default_rng(0)
    first, second = draw_trains(rng, 3, 300), draw_trains(rng, 4, 900)
    second[1] = np.sort(np.concatenate([second[1], first[0] + 12 / 30_000, first[0] - 12 / 30_000]))  # twice each
    second.append(np.zeros(0))
    hits = count_coincidences(first, second, TOLERANCE)
    by_hand = [[pair_by_hand(a, b, TOLERANCE) for b in second] for a in first]
    np.testing.assert_array_equal(hits, by_hand)
    assert hits[0, 1] == 300  # at the tolerance itself, and no spike of the first twice
    assert hits[:, 4].tolist() == [0, 0, 0]
    assert count_coincidences([], second, TOLERANCE).shape == (0, 5)
    assert count_coincidences(first, [], TOLERANCE).shape == (3, 0)


def test_units_are_held_to_a_truth():
    rng = np.random.default_rng(1)
    truth = draw_trains(rng, 5, 100, duration=500.0)
    found = [
        truth[1],
        truth[0][:90],  # recall 0.9
        np.sort(np.concatenate([truth[2], truth[3]])),  # two in one
        truth[4][:60],
        truth[4][60:],  # a fragment
        draw_trains(rng, 1, 100, duration=500.0)[0],  # none
    ]
    pair = compare_trains(truth, found, TOLERANCE)
    assert [(match.first, match.second) for match in pair.matches] == [(0, 1), (1, 0), (2, 2), (4, 3)] or [
        (match.first, match.second) for match in pair.matches
    ] == [(0, 1), (1, 0), (3, 2), (4, 3)]
    assert pair.matches[0].agreement == pytest.approx(0.9)
    assert (pair.matches[0].recall, pair.matches[0].precision) == (pytest.approx(0.9), 1.0)
    assert (pair.matched, pair.only_first, pair.only_second, pair.well_detected) == (4, 1, 2, 2)
    assert pair.mean_agreement == pytest.approx((0.9 + 1 + 0.5 + 0.6) / 5, abs=0.01)
    assert (pair.redundant, pair.merged, pair.strangers) == ([4], [2], [5])
    empty = compare_trains(truth, [], TOLERANCE)
    assert (empty.matched, empty.only_first, empty.mean_agreement) == (0, 5, 0.0)
    assert compare_trains([], truth, TOLERANCE).mean_agreement is None


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    """Four loaded units, and what a person made of them: 0 and 2 joined, 5 removed."""
    tmp_path = tmp_path_factory.mktemp("curated")
    path = rec.write_session(tmp_path / "s.nwb", np.ones((50_000, 4), "int16"), places=rec.column(4))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LOGS", "SCRATCH", "CACHE"):
            patch.setenv(f"NWBPIPE_{name}", str(tmp_path / name.lower()))
        load(path, "spikesorting", write_phy(tmp_path / "phy"), step="sort")
    curation = tmp_path / "curation.json"
    content = {"format_version": "2", "unit_ids": [0, 1, 2, 5], "removed": [5]}
    curation.write_text(json.dumps(content | {"merges": [{"unit_ids": [0, 2], "new_unit_id": 100}]}))
    curate(path, "sort", curation, who="Ada")
    return path


@pytest.fixture
def session(curated, tmp_path, own_places):
    return Path(shutil.copy2(curated, tmp_path / "s.nwb"))


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def add_verdicts(path, step, metrics):
    """Write a table of `unit_quality` with these firing rates of the loaded units, and its record."""
    thresholds = ThresholdSet.from_dict({"name": "mine", "unit": {"firing_rate": {"fail_below": 1.0}}})
    judged = [thresholds.judge("unit", {"firing_rate": value}) for value in metrics]
    with nwbpipe.transaction(path) as nwbfile:
        units = nwbfile.processing["ecephys"]["Units_sort"]
        columns = [
            DynamicTableRegion(name="unit", description="The unit.", data=np.arange(len(metrics)), table=units),
            VectorData(name="firing_rate", description="Rate.", data=np.asarray(metrics, float)),
            VectorData(name="verdict", description="Verdict.", data=[verdict for verdict, _ in judged]),
            VectorData(name="reasons", description="Reasons.", data=["; ".join(reasons) for _, reasons in judged]),
            VectorData(name="bombcell_label", description="Label.", data=["good"] * len(metrics)),
        ]
        table = DynamicTable(name=f"UnitQuality_{step}", description="Quality.", columns=columns)
        nwbfile.processing["ecephys"].add(table)
        add_record(
            nwbfile,
            make_record(
                step,
                inputs=(ObjectRecord("units", "/processing/ecephys/Units_sort", units.object_id, "Units"),),
                outputs=(ObjectRecord(table.name, f"/processing/ecephys/{table.name}"),),
            ),
        )


def test_steps_of_a_file_are_compared(session, tmp_path, capsys):
    found = compare_units(session, "sort_curation", truth="sort")
    assert [(table.step, table.units, table.spikes) for table in found.tables] == [
        ("sort", 4, sum(COUNTS.values())),
        ("sort_curation", 2, COUNTS[0] + COUNTS[1] + COUNTS[2]),
    ]
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.matched, pair.only_first) == ("sort", "sort_curation", 2, 2)
    figure = tmp_path / "units.png"
    assert run("compare", session, "sort_curation", "--truth", "sort", "--figure", str(figure)) == 0
    out = capsys.readouterr().out
    assert "units of sort with accuracy below 0.8 in sort_curation:" in out
    assert imread(figure).shape[2] == 4
    assert run("compare", session, "sort", "sort_curation", "--json") == 0
    assert json.loads(capsys.readouterr().out)["pairs"][0]["merged"] == pair.merged == [pair.merged[0]]
    assert run("compare", session, "sort", "other") == 2
    assert "no units of a step 'other'" in capsys.readouterr().err
    with pytest.raises(UnknownNameError, match=r"(?s)no units of a step 'other'.*sort, sort_curation"):
        compare_units(session, "sort", "other")
    with pytest.raises(RequestError, match="nothing to compare with"):
        compare_units(session, "sort")
    with pytest.raises(RequestError, match=r"(?s)one verdict on each unit of 'sort'.*--measure --step sort"):
        compare_units(session, "sort", "sort_curation", passed_only=True)


def test_verdicts_on_units_are_listed(session, capsys):
    assert list_measurable_steps(session) == ["sort"]  # a curation is measured where it is asked for
    assert list_unmeasured_steps(session, verdicts(session)) == ["sort"]
    assert run("qc", session) == 0
    assert "sort: not measured" in capsys.readouterr().out
    add_verdicts(session, "sort_quality", [5.0, 0.5, float("nan"), 2.0])
    judged = verdicts(session, step="sort")
    assert [(item.of, item.row, item.label, item.verdict) for item in judged] == [
        ("unit", 0, "0", "pass"), ("unit", 1, "1", "fail"), ("unit", 2, "2", "warn"), ("unit", 3, "5", "pass"),
    ]  # fmt: skip
    assert judged[1].reasons == ("fail: firing_rate 0.5 is below 1",)
    assert judged[2].metrics == {"firing_rate": None}
    assert passed(session, "sort").tolist() == [True, False, True, True]
    assert run("qc", session, "--step", "sort") == 0
    out = capsys.readouterr().out
    assert "sort_quality: 4 units: 2 pass, 1 warn, 1 fail\n    unit 1: fail: firing_rate 0.5 is below 1" in out
    strict = session.with_name("strict.toml")
    strict.write_text('name = "strict"\n[unit.firing_rate]\nfail_below = 3\n')
    assert run("qc", session, "--thresholds", str(strict)) == 0
    assert "unit 5: fail: firing_rate 2 is below 3" in capsys.readouterr().out
    assert "firing_rate" in UNIT_METRICS
    found = compare_units(session, "sort", "sort_curation", truth="sort_curation", passed_only=True)
    assert [table.names for table in found.tables] == [["100", "1"], ["0", "2", "5"]]


def test_units_are_measured_on_the_recording_of_their_source(session, monkeypatch):
    calls = []
    monkeypatch.setattr(_quality, "process", lambda path, processor, **options: calls.append((processor, options)))
    thresholds = ThresholdSet.from_dict({"name": "both", "roi": {"area": {"fail_below": 1.0}}, "unit": {}})
    measure_quality(session, "sort_curation", thresholds=thresholds)
    processor, options = calls[0]
    assert (processor, options["step"]) == ("unit_quality", "sort_curation_quality")
    assert options["inputs"] == {"units": "/processing/ecephys/Units_sort_curation", "recording": rec.SERIES}
    assert options["params"] == {"thresholds": {"name": "both", "unit": {}}}
    with pytest.raises(UnknownNameError, match=r"(?s)no imaging result and no units of a step 'x'"):
        measure_quality(session, "x")
