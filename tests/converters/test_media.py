"""Videos beside the file of a session: placed, kept, replaced, or embedded."""

from __future__ import annotations

import os
import shutil

import h5py
import pytest

from nwbpipe.converters import convert
from nwbpipe.errors import FileAccessError, NwbpipeError, OverwriteError
from nwbpipe.files import _atomic
from tests.converters import raw
from tests.converters.raw import left_behind


@pytest.mark.parametrize("how", ["link", "copy"])
def test_videos_are_placed_beside_the_file(folder, how):
    nwb = folder / "new" / "folders"  # they are made, as for a file without videos
    path = convert(raw.write_spec(folder, {"body": raw.video(options={"video": how})}), nwb / "out.nwb")
    medium = nwb / "out" / "body.avi"
    assert medium.read_bytes() == (folder / "body.avi").read_bytes()
    assert (medium.stat().st_nlink == 2) is (how == "link")
    convert(folder / "session.yaml", path, overwrite=True)
    assert sorted(item.name for item in (nwb / "out").iterdir()) == ["body.avi"]


def test_a_video_is_copied_where_it_cant_be_linked(folder, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    convert(raw.write_spec(folder, {"body": raw.video()}), folder / "out.nwb")
    assert (folder / "out" / "body.avi").read_bytes() == (folder / "body.avi").read_bytes()


def test_a_video_can_be_embedded(folder):
    path = convert(raw.write_spec(folder, {"body": raw.video(options={"video": "embed"})}), folder / "out.nwb")
    with h5py.File(path) as file:
        data = file["acquisition/ImageSeries_body/data"]
        assert data.shape[0] == 40
        assert abs(int(data[37].mean()) - 37) <= 3  # motion JPEG is lossy
    assert left_behind(folder) == ["out.nwb"]


def test_media_of_other_content_are_not_replaced_unasked(folder):
    (folder / "out").mkdir()
    (folder / "out" / "body.avi").write_bytes(b"something else")
    spec = raw.write_spec(folder, {"body": raw.video()})
    with pytest.raises(OverwriteError, match="medium"):
        convert(spec, folder / "out.nwb")
    assert (folder / "out" / "body.avi").read_bytes() == b"something else"
    assert not (folder / "out.nwb").exists()
    convert(spec, folder / "out.nwb", overwrite=True)
    assert (folder / "out" / "body.avi").read_bytes() == b"something else"  # not of a session file: left alone
    assert (folder / "out" / "body_2.avi").read_bytes() == (folder / "body.avi").read_bytes()


def test_the_media_of_a_replaced_file_stay_until_the_new_one_is_whole(folder, monkeypatch):
    from pynwb import NWBHDF5IO

    spec = raw.write_spec(folder, {"body": raw.video(options={"video": "copy"})})
    path = convert(spec, folder / "out.nwb")
    old = (folder / "out" / "body.avi").read_bytes()
    raw.write_video(folder / "body.avi", frames=25)
    with monkeypatch.context() as patch:
        patch.setattr(NWBHDF5IO, "write", lambda *_args, **_kwargs: 1 / 0)
        with pytest.raises(NwbpipeError, match="writing"):
            convert(spec, path, overwrite=True)
    assert [item.name for item in (folder / "out").iterdir()] == ["body.avi"]
    assert (folder / "out" / "body.avi").read_bytes() == old
    convert(spec, path, overwrite=True)
    (medium,) = (folder / "out").iterdir()
    assert medium.read_bytes() == (folder / "body.avi").read_bytes()
    with h5py.File(path) as file:
        assert file["acquisition/ImageSeries_body/external_file"].asstr()[0] == f"out/{medium.name}"


def names(folder) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def without_video(folder, path, **options):
    return convert(raw.write_spec(folder, {"events": raw.events()}), path, overwrite=True, **options)


@pytest.fixture
def beside(folder):
    """A session whose raw video lies in the folder that the file's media go to; path of the video."""
    (folder / "out").mkdir()
    return (folder / "body.avi").rename(folder / "out" / "body.avi")


@pytest.mark.parametrize("how", ["link", "copy"])
def test_a_raw_video_in_the_folder_of_the_media_is_never_removed(folder, beside, how):
    before = beside.read_bytes()
    video = raw.video("out/body.avi", options={"video": how})
    path = convert(raw.write_spec(folder, {"body": video}), folder / "out.nwb")  # the source is its own target
    assert names(folder / "out") == ["body.avi"]
    convert(raw.write_spec(folder, {"camera": video}), path, overwrite=True)
    assert names(folder / "out") == ["body.avi", "camera_body.avi"]
    without_video(folder, path)
    assert names(folder / "out") == ["body.avi"]  # what was placed is gone
    assert beside.read_bytes() == before


@pytest.mark.parametrize("how", ["link", "copy"])
def test_a_placed_medium_that_became_a_source_stays(folder, how):
    path = convert(raw.write_spec(folder, {"body": raw.video(options={"video": how})}), folder / "out.nwb")
    medium = raw.video("out/body.avi", options={"video": how})
    convert(raw.write_spec(folder, {"body": medium}), path, overwrite=True)
    without_video(folder, path)
    assert names(folder / "out") == ["body.avi"]


def test_media_are_removed_only_once_the_new_file_is_in_place(folder, monkeypatch):
    path = convert(raw.write_spec(folder, {"body": raw.video()}), folder / "out.nwb")
    (folder / "out" / "notes.txt").write_text("of the user")
    with monkeypatch.context() as patch:
        patch.setattr(_atomic, "move_into_place", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            without_video(folder, path)
    assert names(folder / "out") == ["body.avi", "notes.txt"]
    without_video(folder, path)
    assert names(folder / "out") == ["notes.txt"]


def test_a_file_that_took_the_place_of_a_medium_stays(folder):
    path = convert(raw.write_spec(folder, {"body": raw.video(options={"video": "copy"})}), folder / "out.nwb")
    (folder / "out" / "body.avi").write_bytes(b"of the user")
    without_video(folder, path)
    assert (folder / "out" / "body.avi").read_bytes() == b"of the user"


def test_a_link_that_is_the_last_name_of_a_video_stays(folder):
    path = convert(raw.write_spec(folder, {"body": raw.video()}), folder / "out.nwb")
    (folder / "body.avi").unlink()
    without_video(folder, path)
    assert names(folder / "out") == ["body.avi"]


@pytest.mark.parametrize("note", ["{}", "[]", '{"media": ["body.avi"]}', '{"media": {"body.avi": {"link": true}}}'])
def test_media_without_a_note_stay(folder, note):
    """Files of older versions, and prepared ones, name the video in `locate_external_file` alone."""
    path = convert(raw.write_spec(folder, {"body": raw.video()}), folder / "out.nwb")
    with h5py.File(path, "r+") as file:
        (run,) = (item for name, item in file["general/nwbpipe"].items() if name.startswith("convert_"))
        assert "body.avi" in run["resources"].asstr()[()]
        run["resources"][()] = note
    without_video(folder, path, discard_results=True)  # of records that can't be read, too
    assert names(folder / "out") == ["body.avi"]


def test_a_file_that_comes_while_a_video_is_copied_stays(folder, monkeypatch):
    copy = shutil.copyfileobj

    def copied(source, target, *size):
        copy(source, target, *size)
        if (folder / "out").is_dir():
            (folder / "out" / "body.avi").write_bytes(b"of the user")

    monkeypatch.setattr(shutil, "copyfileobj", copied)
    with pytest.raises(FileAccessError, match="can't be placed"):
        convert(raw.write_spec(folder, {"body": raw.video(options={"video": "copy"})}), folder / "out.nwb")
    assert names(folder / "out") == ["body.avi"]
    assert (folder / "out" / "body.avi").read_bytes() == b"of the user"


def test_an_empty_folder_of_the_file_s_name_stays(folder):
    (folder / "out").mkdir()
    without_video(folder, folder / "out.nwb")
    assert (folder / "out").is_dir()
