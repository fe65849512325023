"""Folders of Phy and Kilosort become results: each spike in a unit, or the folder is refused."""

import h5py
import numpy as np
import pynwb
import pytest

from nwbpipe.errors import InputError, SourceError
from nwbpipe.run import load
from tests.processors.ephys import recording as rec
from tests.processors.ephys.phy_folder import COUNTS, table, write_phy


@pytest.fixture
def session(tmp_path):
    data = np.zeros((50_000, 4), "int16")
    data[::100] = 7
    return rec.write_session(tmp_path / "s.nwb", data, places=rec.column(4), starting_time=12.5)


def test_each_spike_is_in_a_unit_although_phy_labelled_some_clusters_only(session, tmp_path):
    """Phy leaves clusters out of cluster_group.tsv that nobody labelled: readers that join the tables drop them."""
    folder = write_phy(
        tmp_path / "phy",
        group=table("group", c0="good", c5="noise"),
        KSLabel=table("KSLabel", c0="good", c1="mua", c2="good", c5="mua", c9="good"),
    )
    run = load(session, "spikesorting", folder, step="curated")
    with rec.opened(session) as nwbfile:
        units = nwbfile.processing["ecephys"]["Units_curated"]
        assert list(units["unit_name"][:]) == ["0", "1", "2", "5"]
        assert list(units["quality_label"][:]) == ["good", "unsorted", "unsorted", "noise"]
        assert list(units["ks_label"][:]) == ["good", "mua", "good", "mua"]
        assert [len(units["spike_times"][unit]) for unit in range(4)] == list(COUNTS.values())
        samples = np.load(folder / "spike_times.npy")[:, 0][np.load(folder / "spike_clusters.npy") == 1]
        np.testing.assert_allclose(units["spike_times"][1], 12.5 + samples / rec.RATE)
        np.testing.assert_array_equal(units["peak_electrode"].data[:], [0, 1, 2, 3])
        np.testing.assert_allclose(units["obs_intervals"][0], [[12.5, 14.5]])
    assert pynwb.validate(path=session) == []
    assert run.record.parameters["loaded"] is True
    assert run.record.parameters["sample_rate"] == rec.RATE
    assert "dat_path" not in run.record.parameters
    assert not load(session, "spikesorting", folder, step="curated").computed


def test_times_come_from_the_series_timestamps(tmp_path):
    stamps = 100.0 + np.arange(50_000) / rec.RATE
    stamps[30_000:] += 5.0
    data = np.ones((50_000, 4), "int16")
    path = rec.write_session(tmp_path / "s.nwb", data, places=rec.column(4), timestamps=stamps)
    folder = write_phy(tmp_path / "phy")
    load(path, "spikesorting", folder)
    samples = np.load(folder / "spike_times.npy")[:, 0][np.load(folder / "spike_clusters.npy") == 0]
    with h5py.File(path) as file:
        units = file["processing/ecephys/Units_spikesorting"]
        np.testing.assert_array_equal(units["spike_times"][: COUNTS[0]], stamps[samples.astype(int)])
        assert len(units["obs_intervals"]) == 2 * 4


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"rate": 30_000.0}, InputError, "sampling rates differ"),
        ({"samples": 60_000}, InputError, "spikes lie after the recording"),
        ({"channels": 5}, InputError, "a channel that the recording lacks"),
        ({"group": "cluster_id\tgroup\n0\tgood\n\tgood\n"}, SourceError, "does not name its own cluster"),
        ({"info": "cluster_id\tgroup\n0\tgood\n\tgood\n"}, SourceError, "does not name its own cluster"),
        ({"group": "cluster_id\tgroup\n0\tgood\n0\tmua\n"}, SourceError, "does not name its own cluster"),
    ],
    ids=["rate", "duration", "channels", "blank id", "blank id in cluster_info", "id twice"],
)
def test_another_recording_or_a_damaged_table_is_refused(session, tmp_path, change, error, text):
    before = session.read_bytes()
    with pytest.raises(error, match=text):
        load(session, "spikesorting", write_phy(tmp_path / "phy", **change))
    assert session.read_bytes() == before


def test_settings_are_parsed_and_never_executed(session, tmp_path):
    folder = write_phy(tmp_path / "phy")
    (folder / "params.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\nsample_rate = 25000.0\n"
    )
    with pytest.raises(SourceError, match="settings"):
        load(session, "spikesorting", folder)
    assert not (tmp_path / "ran").exists()


def test_an_incomplete_folder_is_refused(session, tmp_path):
    folder = write_phy(tmp_path / "phy")
    (folder / "spike_times.npy").unlink()
    with pytest.raises(SourceError, match="not a finished output of Phy or Kilosort") as caught:
        load(session, "spikesorting", folder)
    assert "spike_times.npy" in str(caught.value)
