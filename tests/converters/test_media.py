"""Videos beside the file of a session: placed, kept, replaced, or embedded."""

from __future__ import annotations

import os

import h5py
import pytest

from nwbpipe.converters import convert
from nwbpipe.errors import NwbpipeError, OverwriteError
from tests.converters import raw
from tests.converters.raw import left_behind


@pytest.mark.parametrize("how", ["link", "copy"])
def test_videos_are_placed_beside_the_file(folder, how):
    path = convert(raw.write_spec(folder, {"body": raw.video(options={"video": how})}), folder / "out.nwb")
    medium = folder / "out" / "body.avi"
    assert medium.read_bytes() == (folder / "body.avi").read_bytes()
    assert (medium.stat().st_nlink == 2) is (how == "link")
    convert(folder / "session.yaml", path, overwrite=True)
    assert sorted(item.name for item in (folder / "out").iterdir()) == ["body.avi"]


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
