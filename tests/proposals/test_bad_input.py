"""Folders with damaged files, links out, pickles, hostile names: nothing is run, written over or guessed."""

from __future__ import annotations

import os
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import yaml

from nwbpipe.errors import OverwriteError, RequestError
from nwbpipe.proposals import propose
from tests.converters import raw


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A session's folder with a table of events."""
    folder = tmp_path / "lab" / "s1"
    folder.mkdir(parents=True)
    raw.write_events(folder / "events.csv", (0.25, 1.5, 2.75))
    return folder


def reason(entries: tuple[str, ...], name: str) -> str:
    (entry,) = [entry for entry in entries if entry.startswith(name)]
    return entry.partition(": ")[2]


def test_files_that_can_not_be_read_are_listed_and_the_others_proposed(lab: Path, tmp_path: Path) -> None:
    (lab / "empty.csv").touch()
    (lab / "cut.tif").write_bytes(b"II*\0\x08\0\0\0")
    (lab / "cut.avi").write_bytes(b"RIFF\0\0\0\0AVI ")
    (lab / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))
    (lab / "list.mp4").write_text("#EXTM3U\nhttp://example.org/a.mp4\n")
    (lab / "pointer.edf").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "secret.edf").write_bytes(b"0" * 500)
    (lab / "link.edf").symlink_to(tmp_path / "secret.edf")
    (lab / "latin.csv").write_bytes("zeit;é\n1;2\n".encode("latin-1"))
    os.mkfifo(lab / "pipe.csv")
    proposal = propose(lab)
    assert [source.interface for source in proposal.sources] == ["BehaviorEventsInterface"]
    assert "link that leads out" in reason(proposal.unreadable, "link.edf")
    assert "named pipe" in reason(proposal.unreadable, "pipe.csv")
    assert "list of other files" in reason(proposal.unreadable, "list.mp4")
    assert "Git LFS pointer" in reason(proposal.unreadable, "pointer.edf")
    assert reason(proposal.unreadable, "empty.csv") == "empty"
    for name in ("cut.tif", "cut.avi", "cut.h5"):
        assert reason(proposal.unreadable, name)
    assert any(entry.startswith("latin.csv") for entry in proposal.unrecognized)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(Payload.folder),)

    folder = Path("none")


def test_nothing_in_the_files_is_run(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = lab.parent / "ran"
    monkeypatch.setattr(Payload, "folder", ran)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was made"))
    plane = lab / "suite2p" / "plane0"
    plane.mkdir(parents=True)
    content = np.array({"nframes": 3, "fs": 1.0, "x": Payload()}, dtype=object)
    for name in ("ops.npy", "stat.npy", "F.npy"):
        np.save(plane / name, content, allow_pickle=True)
    np.save(lab / "face_proc.npy", content, allow_pickle=True)
    (lab / "dataset.pkl").write_bytes(pickle.dumps(Payload()))
    phy = lab / "phy"
    phy.mkdir()
    (phy / "params.py").write_text(f"import os\nos.mkdir({str(ran)!r})\nsample_rate = 30000\n")
    np.save(phy / "spike_times.npy", np.arange(3))
    np.save(phy / "spike_clusters.npy", np.zeros(3, int))
    proposal = propose(lab)
    assert not ran.exists()
    assert "dataset.pkl" in proposal.unrecognized
    cells = next(source for source in proposal.sources if source.interface == "Suite2pSegmentationInterface")
    assert any("PROBLEM" in note for note in cells.notes)
    assert {"PhySortingInterface", "BehaviorEventsInterface"} < {source.interface for source in proposal.sources}


def test_names_of_files_stay_text(lab: Path) -> None:
    raw.write_events(lab / "a: b #c 'd' \x1b[31m.csv")
    raw.write_trials(lab / "- [x]\nspecies: no.csv", (1.25, 3.5, 5.75))
    raw.write_events(lab / "\U0001f42d.csv")
    (lab / "x\n# y: z").write_text("no table\n\0")
    proposal = propose(lab)
    content = yaml.safe_load(proposal.text)
    assert "\x1b" not in proposal.text
    assert content["subject"]["species"] == "FILL IN"
    files = {Path(source["args"]["file_path"]).name for source in content["sources"].values()}
    assert files == {"events.csv", "a: b #c 'd' \x1b[31m.csv", "- [x]\nspecies: no.csv", "\U0001f42d.csv"}


def test_a_spec_that_is_there_is_not_replaced(lab: Path) -> None:
    spec = lab / "session.yaml"
    spec.write_text("mine")
    proposal = propose(lab)
    with pytest.raises(OverwriteError):
        proposal.write()
    assert spec.read_text() == "mine"
    assert proposal.write(overwrite=True).read_text() == proposal.text
    other = propose(lab, lab / "other.yaml")
    assert other.write() == lab / "other.yaml"
    (lab / "link.yaml").symlink_to(lab.parent / "nowhere.yaml")
    with pytest.raises(OverwriteError):
        propose(lab, lab / "link.yaml").write()
    assert not (lab.parent / "nowhere.yaml").exists()


def test_whole_numbers_have_no_unit_and_no_zone_is_guessed(lab: Path) -> None:
    (lab / "licks.csv").write_text("time,name\n1000,lick\n2500,lick\n")
    text = propose(lab).text
    events, licks = (yaml.safe_load(text)["sources"][name]["args"] for name in ("events", "licks"))
    assert licks["time_unit"] == "FILL IN"
    assert "time_unit" not in events
    assert yaml.safe_load(text)["session"]["session_start_time"] == "FILL IN"


def test_the_time_is_not_searched_for_in_a_file_with_another_number_of_rows(lab: Path) -> None:
    raw.write_video(lab / "body.avi", frames=40)
    (lab / "body_times.csv").write_text("\n".join(f"{number / 19.5:.6f}" for number in range(40)) + "\n")
    clocks = yaml.safe_load(propose(lab).text)["clocks"]
    assert any(clock["align"] == "timestamps" and clock["file"] == "body_times.csv" for clock in clocks.values())
    (lab / "body_times.csv").write_text("\n".join(f"{number / 19.5:.6f}" for number in range(41)) + "\n")
    clocks = yaml.safe_load(propose(lab).text)["clocks"]
    assert {clock["align"] for clock in clocks.values()} == {"start"}


@pytest.mark.parametrize("name", ["none", "file.txt", "bare"])
def test_a_folder_without_a_recording_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.docx").write_text("x")
    with pytest.raises(RequestError):
        propose(tmp_path / name)


@pytest.mark.parametrize(("column", "unit", "factor"), [("timestamp_ms", "ms", 1e3), ("time", "s", 1.0)])
def test_unix_times_are_counted_from_the_start_in_seconds(lab: Path, column: str, unit: str, factor: float) -> None:
    raw.write_video(lab / "body.avi", frames=40)
    times = [(1714571000.25 + number / 20) * factor for number in range(40)]
    (lab / "body_times.csv").write_text("\n".join([column, *map(repr, times)]) + "\n")
    content = yaml.safe_load(propose(lab).text)
    assert content["session"]["session_start_time"].isoformat() == "2024-05-01T13:43:20.250000+00:00"
    clock = content["clocks"]["body"]
    assert (clock.get("unit", "s"), float(clock["offset_s"])) == (unit, -1714571000.25)


@pytest.mark.parametrize("above", ["", "time,name\n" + "1.5,lick\n" * 300])
def test_a_line_that_is_too_long_for_a_table_leaves_the_others_to_be_proposed(lab: Path, above: str) -> None:
    (lab / "notes.txt").write_text(f"{above}1.5,{'x' * 200_000}\n")
    assert "events" in [source.name for source in propose(lab).sources]
