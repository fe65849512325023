"""Pose files and finished sortings: each frame and each spike reaches the file, or the source is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe.converters import load_spec
from nwbpipe.converters._added import AddedObjects
from nwbpipe.converters._build import build_nwbfile
from nwbpipe.converters._record import describe_accounts
from nwbpipe.converters.accounts import Account, Spikes, read_account, reconcile
from nwbpipe.errors import AccountError
from tests.converters import raw
from tests.processors.ephys.phy_folder import COUNTS, table, write_phy

FRAMES = np.dtype([(name, "<i8") for name in ("video", "frame_idx", "instance_id_start", "instance_id_end")])


def write_slp(path: Path, present: dict[str, list[int]], videos: int = 1) -> None:
    """Write what the account reads of a .slp: the frames of each track, all in the first video."""
    frames: list[tuple[int, ...]] = []
    instances: list[int] = []
    for frame in sorted({frame for numbers in present.values() for frame in numbers}):
        start = len(instances)
        instances += [number for number, track in enumerate(present) if frame in present[track]]
        frames.append((0, frame, start, len(instances)))
    names = [f"C:\\data\\video{number}.mp4" for number in range(videos)]
    with h5py.File(path, "w") as file:
        file["frames"] = np.array(frames, FRAMES)
        file["instances"] = np.array([(number,) for number in instances], [("track", "<i4")])
        file["tracks_json"] = [json.dumps([0, track]) for track in present]
        file["videos_json"] = [json.dumps({"backend": {"filename": name}}) for name in names]


@pytest.mark.parametrize(
    ("arguments", "samples", "first", "others"),
    [
        ({"track_name": "male", "frames_per_second": 25.0}, 3, 0.2, ("track female",)),
        ({"track_name": "female"}, 4, None, ("track male",)),
    ],
)
def test_the_frames_of_a_track(
    arguments: dict[str, Any], samples: int, first: float | None, others: tuple[str, ...], tmp_path: Path
) -> None:
    write_slp(tmp_path / "a.slp", {"female": [0, 1, 2, 3], "male": [5, 7, 8]})
    account, _ = read_account("SLEAPInterface", {"file_path": tmp_path / "a.slp", **arguments})
    assert account is not None
    assert (account.streams[0].samples, account.streams[0].first_time, account.others) == (samples, first, others)


def test_several_tracks_or_videos_are_not_accounted_until_one_is_named(tmp_path: Path) -> None:
    write_slp(tmp_path / "a.slp", {"female": [0, 1], "male": [0, 1]})
    write_slp(tmp_path / "b.slp", {"female": [0, 1]}, videos=2)
    assert read_account("SLEAPInterface", {"file_path": tmp_path / "a.slp"})[0] is None
    assert read_account("SLEAPInterface", {"file_path": tmp_path / "b.slp"})[0] is None
    account, _ = read_account("SLEAPInterface", {"file_path": tmp_path / "b.slp", "video_name": "video1"})
    assert account is not None
    assert account.streams[0].samples == 0
    assert account.others == ("video video0",)


def test_the_rows_of_a_pose_table(tmp_path: Path) -> None:
    raw.write_pose(tmp_path / "poseDLC.csv", frames=40)
    account, _ = read_account("DeepLabCutInterface", {"file_path": tmp_path / "poseDLC.csv"})
    assert account is not None
    assert account.streams[0].samples == 40


def add_units(*spikes: list[float]) -> AddedObjects:
    from pynwb.misc import Units

    units = Units(name="units", description="test")
    for times in spikes:
        units.add_unit(spike_times=times)
    return AddedObjects(objects=[units])


@pytest.mark.parametrize(
    ("spikes", "kind", "text"),
    [
        (Spikes(6, 2), "samples", "6 spikes of 2 units"),
        (Spikes(5, 3), "samples", "5 spikes of 2 units"),
        (Spikes(5, 2, 3.5), "rate", "the last one at 3.500000 s"),
    ],
)
def test_spikes_that_the_reader_left_out_or_moved(spikes: Spikes, kind: str, text: str) -> None:
    account, added = Account("test", spikes=spikes), add_units([0.5, 1.0, 3.0], [], [0.1, 0.2])
    with pytest.raises(AccountError) as caught:
        reconcile(account, added, where="sources.units")
    assert text in str(caught.value)
    assert f"accept: [{kind}]" in str(caught.value)
    reconcile(Account("test", spikes=Spikes(5, 2, 3.0)), added, where="sources.units")


def test_the_spikes_of_a_table_that_grew_are_its_new_rows() -> None:
    added = add_units([0.5, 1.0, 3.0], [0.1, 0.2])
    grown = AddedObjects(grown_tables=[(added.objects[0], 1)])
    reconcile(Account("test", spikes=Spikes(2, 1, 0.2)), grown, where="sources.units")


@pytest.mark.parametrize(("major", "stamp"), [(2, 4), (3, 8)])
def test_the_spikes_of_a_nev(major: int, stamp: int, tmp_path: Path) -> None:
    """Units are electrodes and classes, noise (255) too; packets of other numbers are events."""
    packets = [(1, 0), (1, 1), (1, 1), (7, 255), (0, 1), (5001, 0)]
    head = struct.pack(
        "<8s2BHIIII", b"NEURALEV" if major == 2 else b"BREVENTS", major, 3, 0, 336, 104, 30_000, 30_000
    )
    body = [struct.pack(f"<{stamp}xHB", *packet).ljust(104, b"\0") for packet in packets]
    (tmp_path / "a.nev").write_bytes(head.ljust(336, b"\0") + b"".join(body))
    account, _ = read_account("BlackrockSortingInterface", {"file_path": tmp_path / "a.nev"})
    assert account is not None
    assert account.spikes is None  # not for a plan
    assert account.complete().spikes == Spikes(4, 3)


def test_counts_of_blackrock_without_a_scale_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ns2"
    path.write_bytes(struct.pack("<8s16sIIII", b"NEURALSG", b"1 kS/s", 30, 2, 1, 2) + bytes(400))
    account, _ = read_account("BlackrockRecordingInterface", {"file_path": path})
    assert account is not None
    ((kind, problem),) = account.problems
    assert (kind, problem.expected) == ("unit", "a.nev beside it")
    path.with_suffix(".nev").touch()
    account, _ = read_account("BlackrockRecordingInterface", {"file_path": path})
    assert account is not None
    assert account.problems == ()


def test_a_folder_of_phy_is_converted_with_its_account(tmp_path: Path) -> None:
    pytest.importorskip("spikeinterface.extractors", reason="needs nwbpipe[ephys]")
    labels = {f"c{cluster}": "noise" if cluster == 5 else "good" for cluster in COUNTS}
    write_phy(tmp_path / "phy", group=table("group", **labels))
    arguments = {"folder_path": "phy", "exclude_cluster_groups": ["noise"]}
    spec = load_spec(raw.write_spec(tmp_path, {"sorting": {"interface": "PhySortingInterface", "args": arguments}}))
    record = describe_accounts(build_nwbfile(spec))["sorting"]
    kept = {cluster: count for cluster, count in COUNTS.items() if cluster != 5}
    assert (record["spikes"], record["units"]) == (sum(kept.values()), len(kept))
