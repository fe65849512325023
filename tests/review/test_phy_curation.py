"""Units that go to Phy or SpikeInterface, and come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbpipe.errors import InputError, OverwriteError, SourceError, UnknownNameError
from nwbpipe.export import export_units
from nwbpipe.review import curate
from nwbpipe.review._phy_curation import MARK, SPIKES, read_phy_curation
from nwbpipe.run import load
from nwbpipe.simulate import DenseProbeSettings, simulate_dense_probe
from tests.processors.ephys import recording as rec
from tests.processors.ephys.phy_folder import write_phy

#: Spikes of the exported units a, b and c in a table, in the order of the table; c has none.
ENDS = np.array([4, 7, 7])
POSITIONS = np.array([0, 4, 1, 5, 2, 3, 6])


def write_folder(folder: Path, clusters: list[int], **tables: str) -> Path:
    folder.mkdir()
    np.save(folder / SPIKES, POSITIONS)
    np.save(folder / "spike_times.npy", np.arange(len(clusters))[:, None])
    np.save(folder / "spike_clusters.npy", np.array(clusters, "int32"))
    (folder / MARK).write_text(json.dumps({"units": "id", "names": ["a", "b", "c"]}))
    for name, text in tables.items():
        (folder / f"cluster_{name}.tsv").write_text(text)
    return folder


def units_of(folder: Path) -> list[tuple[str, str, tuple[int, ...], list[int]]]:
    units = read_phy_curation(folder).apply(ENDS)
    return [(unit.name, unit.label, unit.sources, unit.spikes.tolist()) for unit in units]


def test_a_folder_that_nobody_changed_gives_the_units_back(tmp_path: Path) -> None:
    text = "cluster_id\tgroup\n0\tgood\n1\tunsorted\n"
    found = units_of(write_folder(tmp_path / "phy", [0, 1, 0, 1, 0, 0, 1], group=text))
    assert found == [("a", "good", (0,), [0, 1, 2, 3]), ("b", "", (1,), [4, 5, 6]), ("c", "", (2,), [])]


def test_merges_and_splits_keep_every_spike(tmp_path: Path) -> None:
    text = "cluster_id\tgroup\n3\tgood\n4\tnoise\n0\tmua\n"
    found = units_of(write_folder(tmp_path / "phy", [3, 3, 4, 3, 3, 3, 3], group=text))
    assert found == [
        ("phy_4", "noise", (0,), [1]),
        ("phy_3", "good", (0, 1), [0, 2, 3, 4, 5, 6]),
        ("c", "", (2,), []),
    ]


def test_a_merge_alone_is_another_decision(tmp_path: Path) -> None:
    decisions = [
        read_phy_curation(write_folder(tmp_path / str(number), clusters, group="cluster_id\tgroup\n0\tgood\n"))
        for number, clusters in enumerate(([0, 1, 0, 1, 0, 0, 1], [0, 1, 0, 1, 0, 0, 1], [0] * 7))
    ]
    unchanged, same, merged = (decision.as_dict() for decision in decisions)
    assert unchanged == same != merged
    assert unchanged["labels"] == merged["labels"]


def test_another_folder_of_phy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)not exported from a session file.*nwbpipe load"):
        read_phy_curation(write_phy(tmp_path / "phy"))
    folder = write_folder(tmp_path / "cut", [0, 1, 0])
    with pytest.raises(InputError, match=r"(?s)other spikes than were exported.*7 spikes.*3"):
        read_phy_curation(folder)
    (folder / MARK).write_text("{")
    with pytest.raises(SourceError, match="damaged"):
        read_phy_curation(folder)


def write_session(folder: Path) -> tuple[Path, Any]:
    """A session with 8 channels, one of them dead, and the true units as the result of the step `sorted`."""
    settings = DenseProbeSettings(n_channels=8, duration_s=3.0, n_units=3, firing_rate_hz=20.0, dead=(2,))
    truth = simulate_dense_probe(settings, seed=4)
    path = rec.write_session(
        folder / "s.nwb",
        truth.samples,
        places=truth.channel_locations,
        conversion=truth.gain_to_uv * 1e-6,
        rate=truth.rate,
        starting_time=2.0,
    )
    sorting = write_phy(folder / "sorting", {0: 1, 1: 1, 2: 1}, channels=8, rate=truth.rate)
    samples = np.concatenate(truth.spike_samples)
    order = np.argsort(samples, kind="stable")
    clusters = np.repeat(np.arange(3), [len(train) for train in truth.spike_samples])[order]
    np.save(sorting / "spike_times.npy", samples[order])
    for name in ("spike_clusters", "spike_templates"):
        np.save(sorting / f"{name}.npy", clusters)
    load(path, "spikesorting", sorting, step="sorted")
    return path, truth


def trains(path: Path, name: str) -> list[np.ndarray]:
    with rec.opened(path) as nwbfile:
        table = nwbfile.processing["ecephys"][name]
        return [table["spike_times"][unit] for unit in range(len(table))]


@pytest.mark.slow
def test_units_go_to_phy_and_come_back_as_they_are(tmp_path: Path) -> None:
    pytest.importorskip("spikeinterface", reason="it runs with SpikeInterface: pip install nwbpipe[demo]")
    path, truth = write_session(tmp_path)
    before = path.read_bytes()
    folder = export_units(path, "sorted", tmp_path / "phy", threads=1)
    assert path.read_bytes() == before
    assert "dat_path = r'recording.dat'" in (folder / "params.py").read_text()
    traces = np.fromfile(folder / "recording.dat", "int16").reshape(-1, 7)  # without the dead channel
    assert len(traces) == len(truth.samples)
    assert not list(tmp_path.glob("*.partial"))
    curate(path, "sorted", folder, who="A. Person")
    found = trains(path, "Units_sorted_curation")
    for unit, train in enumerate(truth.spike_samples):
        np.testing.assert_array_equal(found[unit], trains(path, "Units_sorted")[unit])
        np.testing.assert_allclose(found[unit], 2.0 + train / truth.rate)
    clusters = np.load(folder / "spike_clusters.npy")
    clusters[np.isin(clusters, (1, 2))] = 3  # as Phy merges
    np.save(folder / "spike_clusters.npy", clusters)
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n3\tgood\n")
    record = curate(path, "sorted", folder, who="A. Person", replace=True)
    assert record.parameters["labels"] == {"3": "good"}
    assert [len(train) for train in trains(path, "Units_sorted_curation")] == [
        len(truth.spike_samples[0]),
        len(truth.spike_samples[1]) + len(truth.spike_samples[2]),
    ]
    with pytest.raises(OverwriteError, match="not empty"):
        export_units(path, "sorted", folder)
    with pytest.raises(UnknownNameError, match="no units of a step 'sort'"):
        export_units(path, "sort", tmp_path / "other")
    with pytest.raises(InputError, match="exported from other units"):
        curate(path, "sorted_curation", folder, who="A. Person")


@pytest.mark.long
def test_a_curation_goes_to_spikeinterface(tmp_path: Path) -> None:
    si = pytest.importorskip("spikeinterface.full", reason="it runs with SpikeInterface: pip install nwbpipe[demo]")
    path, truth = write_session(tmp_path)
    curate(path, "sorted", {0: "good"}, who="A. Person")
    folder = export_units(path, "sorted_curation", tmp_path / "si", to="analyzer", threads=1)
    analyzer = si.load_sorting_analyzer(folder / "analyzer")
    assert analyzer.has_recording()
    assert analyzer.unit_ids.tolist() == ["0", "1", "2"]
    for unit, train in enumerate(truth.spike_samples):
        np.testing.assert_array_equal(analyzer.sorting.get_unit_spike_train(str(unit)), train)
    curation = {"format_version": "2", "unit_ids": ["0", "1", "2"], "merges": [{"unit_ids": ["0", "1"]}]}
    (tmp_path / "curation.json").write_text(json.dumps(curation))
    curate(path, "sorted", tmp_path / "curation.json", who="A. Person", replace=True)
    assert len(trains(path, "Units_sorted_curation")) == 2
