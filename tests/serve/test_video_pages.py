"""Videos and movies: ranges of files in the project's folders alone, and keypoints by the times of both."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.errors import RequestError
from nwbpipe.serve import _videos
from nwbpipe.serve._answer_calls import FUNCTIONS
from nwbpipe.serve._aside import AsideReader
from nwbpipe.serve._videos import list_videos, locate_video, read_frame, read_keypoints
from tests.serve.visitor import Visitor

RATE, FRAMES, SIZE = 20.0, 60, (160, 120)
VIDEO, POSE, MOVIE = "/acquisition/body", "/processing/behavior/PoseEstimation", "/acquisition/movie"
PAGE = "/session/m1/s0"


def place_dot(frame: int) -> tuple[int, int]:
    """Return the true place of the dot in a frame, in pixels."""
    return 20 + 2 * frame, 90 - frame


def write_video(path: Path, codec: str) -> None:
    """Write a video in which a bright dot moves."""
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), RATE, SIZE)
    for frame in range(FRAMES):
        picture = np.full((SIZE[1], SIZE[0], 3), 30, np.uint8)
        cv2.circle(picture, place_dot(frame), 3, (255, 255, 255), -1)
        writer.write(picture)
    writer.release()


def add_video(session: Path, name: str = "s0/body.webm", *, delay: float = 3.5) -> None:
    """Add a video from 3.5 s on to a session file, its pose with gaps, and a movie."""
    from ndx_pose import PoseEstimation, PoseEstimationSeries
    from pynwb.image import ImageSeries

    times = delay + np.arange(FRAMES) / RATE
    points = np.array([place_dot(frame) for frame in range(FRAMES)], dtype=float)
    kept = np.arange(FRAMES) != 30  # a frame without a sample
    with nwbpipe.transaction(session) as nwbfile:
        nwbfile.add_acquisition(
            ImageSeries(name="body", format="external", external_file=[name], unit="n.a.", timestamps=times)
        )
        nwbfile.add_acquisition(
            ImageSeries(name="movie", data=np.arange(5 * 40 * 30).reshape(5, 40, 30), unit="n.a.", rate=5.0)
        )
        series = PoseEstimationSeries(
            name="dot", description="the dot", data=points[kept], unit="pixels", reference_frame="(0, 0): upper left",
            timestamps=times[kept], confidence=np.where(np.arange(FRAMES) < 10, 0.5, 1.0)[kept],
            confidence_definition="none",
        )  # fmt: skip
        module = nwbfile.processing.get("behavior") or nwbfile.create_processing_module("behavior", "behavior")
        module.add(PoseEstimation(name="PoseEstimation", pose_estimation_series=[series], description="the pose"))


@pytest.fixture(scope="module")
def made_film(made_lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first session has a video of bytes that nobody decodes."""
    folder = shutil.copytree(made_lab, tmp_path_factory.mktemp("film") / "lab")
    (folder / "nwb" / "s0").mkdir()
    (folder / "nwb" / "s0" / "body.webm").write_bytes(bytes(range(256)) * 40)
    add_video(folder / "nwb" / "s0.nwb")
    return folder


@pytest.fixture
def filmed(made_film: Path, tmp_path: Path, test_processors: None, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    """A copy of it, that is read in this process: test_trace_pages tests the other one."""
    monkeypatch.setattr(AsideReader, "call", lambda _, name, *arguments: FUNCTIONS[name](*arguments))
    return Visitor(shutil.copytree(made_film, tmp_path / "lab"))


def find_file(filmed: Visitor) -> Path:
    return filmed.view.path.parent / "nwb" / "s0.nwb"


def test_keypoints_are_matched_by_time(filmed: Visitor) -> None:
    location = str(find_file(filmed))
    listed = list_videos(location)
    assert [(item["path"], item["files"], item["frames"]) for item in listed["videos"]] == [
        (VIDEO, ["s0/body.webm"], 0),
        (MOVIE, [], 5),
    ]
    assert listed["poses"] == [{"path": POSE, "keypoints": ["dot"]}]
    block = read_keypoints(location, VIDEO, 0, POSE, 20)
    assert block["first"] == 20
    assert block["times"][0] == 3.5 + 20 / RATE
    assert [points[0] for points in block["points"]] == [
        None if frame == 30 else [*map(float, place_dot(frame)), 1.0] for frame in range(20, FRAMES)
    ]
    assert read_keypoints(location, VIDEO, 0, POSE, 0)["points"][0][0][2] == 0.5
    assert read_keypoints(location, VIDEO, 0, POSE, 10**9)["points"] == []
    with h5py.File(location, "r+") as file:  # another camera, an hour later
        series = file[POSE]["dot"]
        series["timestamps"][...] += 3600
    assert {points[0] for points in read_keypoints(location, VIDEO, 0, POSE, 0)["points"]} == {None}


def test_frames_without_a_time_have_no_keypoints(filmed: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were taken before or after the session, whose times are not known."""
    with h5py.File(find_file(filmed), "r+") as file:
        file[VIDEO]["timestamps"][[0, 5, FRAMES - 1]] = np.nan
    query = f"{PAGE}/part/keypoints?video={VIDEO}+0&pose={POSE}"
    block = filmed.get(query).json()
    assert [frame for frame, time in enumerate(block["times"]) if time is None] == [0, 5, FRAMES - 1]
    assert [points[0] for points in block["points"]] == [
        None if frame in (0, 5, 30, FRAMES - 1) else [*map(float, place_dot(frame)), 0.5 if frame < 10 else 1.0]
        for frame in range(FRAMES)
    ]
    monkeypatch.setattr(_videos, "_MOST_SAMPLES", 10)
    refused = filmed.get(query)
    assert (refused.status_code, "more than 10 samples" in refused.text) == (400, True)
    monkeypatch.setattr(_videos, "_MOST_FILES", 0)
    assert "too many files" in filmed.get(f"{PAGE}/media?video={VIDEO}+0").text


def test_ranges_of_the_video_are_sent(filmed: Visitor) -> None:
    assert f'href="{PAGE}/videos"' in filmed.get(PAGE).text
    page = filmed.get(f"{PAGE}/videos").text
    assert f'data-video="{VIDEO} 0"' in page
    assert f'data-frames="{FRAMES}"' in page
    media = filmed.get(f"{PAGE}/media?video={VIDEO}+0", headers={"range": "bytes=255-258"})
    assert (media.status_code, media.content) == (206, bytes([255, 0, 1, 2]))
    assert media.headers["content-type"] == "video/webm"
    assert media.headers["x-content-type-options"] == "nosniff"
    assert "media-src 'self'" in filmed.get(PAGE).headers["content-security-policy"]
    assert filmed.get(f"{PAGE}/media?video={VIDEO}+0", headers={"range": "bytes=99999999-"}).status_code == 416
    block = filmed.get(f"{PAGE}/part/keypoints?video={VIDEO}+0&pose={POSE}&first=59").json()
    assert block["points"] == [[[*map(float, place_dot(59)), 1.0]]]


@pytest.mark.parametrize(
    "query",
    [f"{VIDEO}+1", f"{MOVIE}+0", "/nothing+0", "/acquisition/lever+0", "", "%00+0", "x" * 3000 + "+0"],
)
def test_what_is_no_video_is_not_sent(filmed: Visitor, query: str) -> None:
    answer = filmed.get(f"{PAGE}/media?video={query}")
    assert answer.status_code == 400
    assert filmed.get(f"{PAGE}/part/keypoints?video={query}&pose=/nothing").status_code == 400


@pytest.mark.parametrize(
    "name", ["../nwbpipe.toml", "/etc/passwd", "s1.nwb", "s0/notes.txt", "s0/out.webm", "s0/none.webm", "s0"]
)
def test_no_file_but_a_video_of_the_project_is_sent(filmed: Visitor, tmp_path: Path, name: str) -> None:
    folder = find_file(filmed).parent
    (tmp_path / "private.webm").write_bytes(b"private")
    (folder / "s0" / "notes.txt").write_text("private")
    (folder / "s0" / "out.webm").symlink_to(tmp_path / "private.webm")
    with h5py.File(find_file(filmed), "r+") as file:
        file[VIDEO]["external_file"][0] = name
    answer = filmed.get(f"{PAGE}/media?video={VIDEO}+0")
    assert answer.status_code == 400
    assert b"private" not in answer.content.replace(b"private.webm", b"")
    assert filmed.get(f"{PAGE}/videos").status_code == 200


def test_a_video_beside_a_session_file_that_lies_elsewhere_is_not_sent(filmed: Visitor, tmp_path: Path) -> None:
    """The session file is a link that leads out of the project's folders: so does the folder of its videos."""
    file = find_file(filmed)
    shutil.move(file, tmp_path / "s0.nwb")
    shutil.move(file.with_suffix(""), tmp_path / "s0")
    file.symlink_to(tmp_path / "s0.nwb")
    assert locate_video(str(file), VIDEO, 0) == str(tmp_path / "s0" / "body.webm")
    answer = filmed.get(f"{PAGE}/media?video={VIDEO}+0")
    assert (answer.status_code, "outside the project" in answer.text) == (400, True)


def test_frames_of_a_movie_are_pictures_with_their_width_first(filmed: Visitor) -> None:
    from PIL import Image

    answer = filmed.get(f"{PAGE}/part/frame?video={MOVIE}+0&frame=4").json()["picture"]
    picture = Image.open(io.BytesIO(base64.b64decode(answer.partition(",")[2])))
    assert picture.size == (40, 30)
    columns = np.asarray(picture.convert("L"), dtype=float).mean(axis=0)
    assert columns[-1] > columns[0] + 100  # values rise with x
    for frame in ("5", "999999999"):
        assert filmed.get(f"{PAGE}/part/frame?video={MOVIE}+0&frame={frame}").status_code == 400


def test_a_video_that_browsers_do_not_play_is_decoded_frame_by_frame(filmed: Visitor) -> None:
    from PIL import Image

    folder, location = find_file(filmed).parent, str(find_file(filmed))
    write_video(folder / "s0" / "body.avi", "MJPG")
    with h5py.File(location, "r+") as file:
        file[VIDEO]["external_file"][0] = "s0/body.avi"
    url = read_frame(location, VIDEO, 0, 17)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L"), dtype=float)
    rows, columns = np.nonzero(pixels > 150)
    assert (columns.mean(), rows.mean()) == pytest.approx(place_dot(17), abs=0.5)
    for frame in (FRAMES, 10**9):
        with pytest.raises(RequestError):
            read_frame(location, VIDEO, 0, frame)
    (folder / "s0" / "body.avi").write_bytes(b"not a video")
    with pytest.raises(RequestError):
        read_frame(location, VIDEO, 0, 0)


def test_videos_of_a_file_in_a_store_are_not_played(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match="not played here"):
        locate_video("s3://bucket/a.nwb", VIDEO, 0)


def add_browser_video(session: Path) -> Any:
    """Write a video that Chromium plays, and add it to a session file."""
    (session.parent / "s0").mkdir()
    write_video(session.parent / "s0" / "body.webm", "VP80")
    add_video(session)
