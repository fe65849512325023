"""Raw files of strangers are looked at before a reader opens them."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbpipe.converters._screen import screen_raw_files
from nwbpipe.converters.spec._yaml import MAX_BYTES, _read_bytes
from nwbpipe.errors import NwbpipeError, SourceError, SpecError, UnsafeFileError
from nwbpipe.provenance import identify_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "data.bin").write_bytes(b"12")
    (folder / "link.bin").symlink_to(folder / "deep" / "data.bin")  # labs link their data
    (folder / "gone.bin").symlink_to(folder / "nothing")
    return folder


def test_plain_folders_and_files_pass(folder: Path, tmp_path: Path) -> None:
    screen_raw_files([folder, folder / "link.bin", tmp_path / "missing"])


@pytest.mark.parametrize("kind", ["a named pipe", "a device"])
def test_a_pipe_or_device_is_refused_at_once(folder: Path, kind: str) -> None:
    place = folder / "deep" / "x.bin"
    os.mkfifo(place) if kind == "a named pipe" else place.symlink_to("/dev/zero")
    for paths in ([folder], [place]):
        with pytest.raises(SourceError, match=kind):
            screen_raw_files(paths)
    with pytest.raises(NwbpipeError, match=kind):
        identify_file(place)
    with pytest.raises(NwbpipeError, match=kind):
        _read_bytes(place)  # in the place of a session.yaml


@pytest.mark.parametrize(
    ("name", "start"), [("a.h5", 0), ("scan.mat", 512), ("labels.SLP", 0), ("a.h5", 8192), ("a.pickle", 0)]
)
def test_a_raw_hdf5_file_that_leads_out_is_refused(folder: Path, name: str, start: int, tmp_path: Path) -> None:
    (tmp_path / "id_rsa").write_bytes(b"secret")
    with h5py.File(folder / name, "w", userblock_size=start) as file:
        file.create_dataset("plain", data=np.arange(3))
        file.create_dataset("x", (6,), "u1", external=[(str(tmp_path / "id_rsa"), 0, 6)])
    for paths in ([folder], [folder / name]):
        with pytest.raises(UnsafeFileError, match="/x"):
            screen_raw_files(paths)


def test_a_spec_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "session.yaml").write_bytes(b"#" * (MAX_BYTES + 10))
    with pytest.raises(SpecError, match="too large"):
        _read_bytes(tmp_path / "session.yaml")


def test_a_link_that_leads_out_of_the_root_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "private.csv").write_text("secret")
    (folder / "deep" / "trials.csv").symlink_to(tmp_path / "private.csv")
    for paths in ([folder], [folder / "deep" / "trials.csv"]):
        with pytest.raises(SourceError, match=r"(?s)leads out of their root.*nwbpipe trust"):
            screen_raw_files(paths, [folder])
    screen_raw_files([folder], [folder, tmp_path])  # into a store


def test_a_linked_folder_is_no_way_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "private.csv").write_text("secret")
    (folder / "dir").symlink_to(tmp_path / "home")
    with pytest.raises(SourceError, match="leads out of their root"):
        screen_raw_files([folder / "dir" / "private.csv"], [folder])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.m3u8", "#EXTM3U\n/home/private.ts\n"),
        ("a.mp4", "ffconcat version 1.0\nfile in.avi\n"),
        ("a.avi", "\n#EXTM3U\nhttp://host/a.ts\n"),
        ("a.dat", "ffconcat version 1.0\nfile in.avi\n"),
        ("a.mov", '<?xml version="1.0"?><MPD></MPD>'),
        ("a.mkv", "v=0\r\no=- 0 0 IN IP4 127.0.0.1"),
    ],
)
def test_a_playlist_is_no_video(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match="list of other files"):
        screen_raw_files([tmp_path / name])
