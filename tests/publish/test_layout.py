"""Places of files in a dandiset, and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from dandischema.digests.dandietag import DandiETag, PartGenerator

from nwbpipe.errors import ConflictError, FileAccessError
from nwbpipe.publish._digests import StopRequest, digest_file
from nwbpipe.publish._layout import find_assets, find_clashes, place_session


@pytest.mark.parametrize(
    ("subject", "session", "path"),
    [
        ("M1", "a", "sub-M1/sub-M1_ses-a.nwb"),
        ("M_1", "2024.05 b", "sub-M-1/sub-M-1_ses-2024-05-b.nwb"),
        ("../x", "", "sub----x/sub----x.nwb"),
    ],
)
def test_a_session_is_placed_by_its_ids(subject: str, session: str, path: str) -> None:
    assert place_session(subject, session) == path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("sub-M1/sub-M1_ses-b_behavior+ecephys.nwb", "sub-M1/sub-M1_ses-b_behavior+ecephys.nwb"),  # by dandi organize
        ("sub-M2/sub-M2_ses-a.nwb", "sub-M1/sub-M1_ses-a.nwb"),  # of another subject
        ("sub-M1/sub-M1_ses-a_v2.nwb", "sub-M1/sub-M1_ses-a.nwb"),
        ("a.nwb", "sub-M1/sub-M1_ses-a.nwb"),
    ],
)
def test_a_name_that_conforms_is_kept(make_session: Callable[..., Path], name: str, path: str) -> None:
    session = find_assets(make_session(name))
    assert [asset.path for asset in session.assets] == [path, f"sub-M1/{Path(name).stem}/face.mp4"]
    assert not session.problems


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../face.mp4", "could not find the video"),
        ("/data/face.mp4", "could not find the video"),
        ("C:\\face.mp4", "could not find the video"),
        ("session/none.mp4", "the video is missing"),
        ("session/link.mp4", "a symbolic link leads out"),
        ("session/face.txt", "takes no such video"),
        ("session/empty.mp4", "the video is empty"),
    ],
)
def test_a_video_out_of_place_is_refused(
    make_session: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, name: str, words: str
) -> None:
    file = make_session()
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret.mp4"
    elsewhere.write_bytes(b"secret")
    (file.parent / "session" / "link.mp4").symlink_to(elsewhere)
    (file.parent / "session" / "face.txt").write_text("text")
    (file.parent / "session" / "empty.mp4").touch()
    with h5py.File(file, "r+") as opened:
        opened["acquisition/face/external_file"][0] = name
    session = find_assets(file)
    assert words in session.problems[0].what
    assert len(session.assets) == 1


def test_a_video_at_a_url_is_left_where_it_is(make_session: Callable[..., Path]) -> None:
    file = make_session()
    with h5py.File(file, "r+") as opened:
        opened["acquisition/face/external_file"][0] = "https://example.org/face.mp4"
    session = find_assets(file)
    assert not session.problems
    assert session.notes[0].found == "https://example.org/face.mp4"


def test_two_files_of_one_place_are_refused(make_session: Callable[..., Path]) -> None:
    sessions = [find_assets(make_session(name)) for name in ("x/session.nwb", "y/session.nwb")]
    find_clashes(sessions)
    assert all(len(session.problems) == 2 for session in sessions)  # the file's, and the video's


def test_digests_are_those_of_dandi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PartGenerator, "DEFAULT_PART_SIZE", 1000)
    monkeypatch.setattr(PartGenerator, "MIN_PART_SIZE", 1)
    file = tmp_path / "a.nwb"
    for content in (b"x", b"y" * 1000, b"z" * 3500):
        file.write_bytes(content)
        digest, expected = digest_file(file), DandiETag.from_file(file)
        assert digest.etag == expected.as_str()
        assert digest.sha256 == hashlib.sha256(content).hexdigest()
        assert [(part.number, part.offset, part.size) for part in digest.parts] == list(expected.get_parts())


def test_a_file_that_can_not_be_sent_has_no_digest(tmp_path: Path) -> None:
    file = tmp_path / "a.nwb"
    file.touch()
    with pytest.raises(FileAccessError, match="empty"):
        digest_file(file)
    file.write_bytes(b"text")
    with pytest.raises(StopRequest):
        digest_file(file, stopped=lambda: True)
    with pytest.raises(ConflictError, match="changed while it was read"):
        digest_file(file, advance=lambda _: file.write_bytes(b"longer text") and None)
