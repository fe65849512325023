"""labeled_video: keypoints where they are, at the times of the video; and a copy that goes when its time is over."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.processors.pose import LabeledVideoParams
from nwbpipe.processors.pose._labeled_video_compute import draw_segment
from nwbpipe.project import Project
from nwbpipe.run import remove_expired_media
from nwbpipe.session import SessionFile, read_records, remove_step
from nwbpipe.simulate import BodyTruth, simulate_body_video
from tests.fixtures.machine import Clock
from tests.fixtures.projects import HEAD
from tests.processors.pose.conftest import write_video_session
from tests.processors.pose.pose import add_pose

DAYS = timedelta(days=8)
LATER = datetime.now(UTC) + DAYS
PROJECT = (
    HEAD
    + """\
[steps.show]
processor = "labeled_video"
params = { radius_px = 4, crf = 10 }
"""
)


def write_session(folder: Path) -> tuple[Path, BodyTruth]:
    """Write a session with a video, and the true pose at its times."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = simulate_body_video(folder / "v1.avi", seed=2, n_frames=30, dropped=3, jitter_s=0.002)
    path = write_video_session(folder / "s1.nwb", truth)
    with nwbpipe.transaction(path) as nwbfile:
        keypoints = {part: truth.keypoints[:, number] for number, part in enumerate(truth.bodyparts)}
        likelihood = np.where(truth.visible, 0.9, 0.1)
        pose = add_pose(nwbfile, "Pose", keypoints, likelihood=likelihood, timestamps=truth.frame_times)
        pose.source_video = nwbfile.acquisition["VideoTop"]
    return path, truth


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BodyTruth]:
    """A project of one session whose labelled video was made."""
    folder = tmp_path_factory.mktemp("labeled")
    path, truth = write_session(folder / "nwb")
    (folder / "nwbpipe.toml").write_text(PROJECT)
    nwbpipe.process(path, "labeled_video", step="show", params={"radius_px": 4, "crf": 10})
    return folder, truth


@pytest.fixture
def lab(shown: tuple[Path, BodyTruth], tmp_path: Path) -> Path:
    return Path(shutil.copytree(shown[0], tmp_path / "lab"))


def medium_of(lab: Path) -> Path:
    (medium,) = (lab / "nwb" / "s1").iterdir()
    return medium


def test_keypoints_are_drawn_where_they_are_at_the_times_of_the_video(shown: tuple[Path, BodyTruth]) -> None:
    import av

    folder, truth = shown
    with nwbpipe.read(folder / "nwb" / "s1.nwb") as nwbfile:
        series = nwbfile.processing["behavior"]["LabeledVideo_show"]
        assert list(series.external_file) == [f"s1/{medium_of(folder).name}"]
        assert series.timestamps is nwbfile.acquisition["VideoTop"].timestamps
        assert series.device is nwbfile.acquisition["VideoTop"].device
        assert series.comments == "Colours: snout #ff1919, tailbase #19ffff"
        assert f"{truth.visible.sum()} in 30 frames" in series.description
    with av.open(str(medium_of(folder))) as container:
        frames = list(container.decode(video=0))
    np.testing.assert_allclose(
        [float(frame.pts * frame.time_base) for frame in frames], truth.frame_times - truth.frame_times[0], atol=1e-4
    )
    for frame, points, seen in zip(frames, truth.keypoints, truth.visible, strict=True):
        image = frame.to_ndarray(format="rgb24").astype(float)
        for (x, y), is_seen, colour in zip(points, seen, [(255, 26, 26), (26, 255, 255)], strict=True):
            if is_seen and min(x, y) > 6 and max(x, y) < 153:
                patch = image[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].mean(axis=(0, 1))
                assert np.abs(patch - colour).max() < 60


def test_a_disc_covers_its_area_and_a_line_reaches_its_ends() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    draw_segment(image, (20.3, 11.6), (20.3, 11.6), 5, (200, 0, 0))
    covered = image[..., 0] / 200
    assert covered.sum() == pytest.approx(np.pi * 5.05**2, rel=0.02)
    rows, columns = np.mgrid[0:40, 0:40]
    assert (columns * covered).sum() / covered.sum() == pytest.approx(20.3, abs=0.05)
    assert (rows * covered).sum() / covered.sum() == pytest.approx(11.6, abs=0.05)
    draw_segment(image, (2, 30), (37, 35), 1, (0, 9, 0))
    assert image[30, 2, 1] == image[35, 37, 1] == 9
    before = image.copy()
    draw_segment(image, (-50, 20), (-40, 20), 3, (1, 1, 1))
    np.testing.assert_array_equal(image, before)


def test_the_copy_goes_when_its_time_is_over_and_the_file_and_the_log_say_so(
    lab: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    from nwbpipe.cli import main
    from nwbpipe.project.execute import _clean_up

    project, path, medium = Project(lab / "nwbpipe.toml"), lab / "nwb" / "s1.nwb", medium_of(lab)
    summary = project.run()
    assert (summary.done, summary.media) == (0, [])
    assert medium.exists()
    clock.passed = DAYS.total_seconds()
    monkeypatch.setattr(_clean_up, "time", clock)
    ((session, removal),) = (summary := project.run()).media
    assert (session, removal.step, removal.path, removal.stays) == ("M1/a", "show", f"s1/{medium.name}", "")
    assert summary.as_dict()["media"] == [
        {"session": session, "step": "show", "path": f"s1/{medium.name}", "stays": ""}
    ]
    assert not medium.exists()
    with nwbpipe.read(path) as nwbfile:
        assert "LabeledVideo_show" not in nwbfile.processing["behavior"].data_interfaces
        assert "Pose" in nwbfile.processing["behavior"].data_interfaces
    old, new = read_records(path)[-2:]
    assert (old.superseded_by, new.outputs, new.key) == (new.run_id, (), old.key)
    assert nwbpipe.check(path).in_order
    with pytest.raises(SystemExit):
        main(["log", str(path)])
    assert f"removed {medium.name}, which was to be kept until 20" in capsys.readouterr().out
    assert project.run().as_dict() == {**project.run().as_dict(), "done": 0, "media": []}  # it is not made again
    assert nwbpipe.process(
        path, "labeled_video", step="show", params={"radius_px": 4, "crf": 10}, force=True
    ).computed
    assert medium_of(lab).name != medium.name


def test_a_session_is_read_for_its_copies_only_if_it_has_changed_or_one_is_due(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nwbpipe.project.execute import _clean_up
    from nwbpipe.project.state import _index

    read: list[SessionFile] = []
    find = _clean_up.find_media_due

    def find_due(session: SessionFile) -> datetime | None:
        read.append(session)
        return find(session)

    def refuse(*_: Any) -> None:
        pytest.fail("nothing is due")

    monkeypatch.setattr(_clean_up, "find_media_due", find_due)
    monkeypatch.setattr(_index, "_SETTLED_S", -60.0)
    project, path, medium = Project(lab / "nwbpipe.toml"), lab / "nwb" / "s1.nwb", medium_of(lab)
    with monkeypatch.context() as patched:
        patched.setattr(_clean_up, "remove_expired_media", refuse)
        assert project.run().media == project.run().media == []
    assert len(read) == 1
    note = medium.read_bytes()
    medium.write_bytes(note[:-1] + b"x")
    remove_step(path, "show")
    for _ in range(2):  # it is somebody's now, and it is said each time
        ((_, removal),) = project.run(steps=["convert"]).media
        assert removal.stays == "it was changed since"
    assert len(read) == 2
    medium.write_bytes(note)
    ((_, removal),) = project.run(steps=["convert"]).media
    assert (removal.stays, medium.exists()) == ("", False)


def test_a_run_of_an_unknown_step_removes_nothing(lab: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    from nwbpipe.errors import UnknownNameError
    from nwbpipe.project.execute import _clean_up

    clock.passed = DAYS.total_seconds()
    monkeypatch.setattr(_clean_up, "time", clock)
    with pytest.raises(UnknownNameError):
        Project(lab / "nwbpipe.toml").run(steps=["sow"])
    assert medium_of(lab).exists()


@pytest.mark.parametrize("change", ["content", "link", "folder"])
def test_what_is_the_users_stays_and_it_is_said(lab: Path, tmp_path: Path, change: str) -> None:
    medium, theirs = medium_of(lab), tmp_path / "mine"
    if change == "content":
        medium.write_bytes(medium.read_bytes()[:-1] + b"x")
    elif change == "link":
        medium.rename(theirs)
        medium.symlink_to(theirs)
    else:
        medium.parent.rename(theirs)
        medium.parent.symlink_to(theirs)
    before = (lab / "nwb" / "s1.nwb").read_bytes()
    (removal,) = remove_expired_media(SessionFile.at(lab / "nwb" / "s1.nwb"), LATER)
    assert removal.stays in (
        "it was changed since",
        "a link, or a folder, has its name",
        "its folder is a link, or no folder",
    )
    assert medium.exists()
    assert change == "content" or theirs.exists()
    assert (lab / "nwb" / "s1.nwb").read_bytes() == before


def test_a_copy_that_is_written_to_while_it_is_hashed_stays(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nwbpipe.session import MEDIA, _media, remove_medium

    path, medium = lab / "nwb" / "s1.nwb", medium_of(lab)
    note = read_records(path)[-1].resources[MEDIA][medium.name]
    calculate = _media._hash

    def hash_then_edit(file: Any) -> str:
        digest = calculate(file)
        with medium.open("r+b") as edited:
            edited.write(b"edited")
        return digest

    monkeypatch.setattr(_media, "_hash", hash_then_edit)
    assert remove_medium(SessionFile.at(path), medium.name, note) == "it was changed since"
    assert medium.read_bytes()[:6] == b"edited"


def test_a_copy_that_another_series_names_stays(lab: Path) -> None:
    from pynwb.image import ImageSeries

    path, medium = lab / "nwb" / "s1.nwb", medium_of(lab)
    with nwbpipe.transaction(path) as nwbfile:
        nwbfile.add_acquisition(ImageSeries(
            name="Mine", description="To be shown.", unit="n.a.", external_file=[f"./s1/{medium.name}"],
            format="external", starting_frame=[0], rate=30.0, num_samples=30,
        ))  # fmt: skip
    (removal,) = remove_expired_media(SessionFile.at(path), LATER)
    assert removal.stays == "/acquisition/Mine/external_file names it, too"
    assert not read_records(path)[-1].superseded
    remove_step(path, "show")  # the file has no result of the run then
    (removal,) = remove_expired_media(SessionFile.at(path), LATER)
    assert removal.stays
    assert medium.exists()


def test_a_copy_of_the_session_leaves_the_videos_of_the_first_alone(lab: Path) -> None:
    path = lab / "nwb" / "s1.nwb"
    other = Path(shutil.copy(path, lab / "nwb" / "s2.nwb"))
    remove_expired_media(SessionFile.at(other), LATER)
    assert medium_of(lab).exists()


def test_a_record_from_elsewhere_can_not_name_another_file(lab: Path) -> None:
    from dataclasses import replace

    from nwbpipe.session import MEDIA, list_media

    record = read_records(lab / "nwb" / "s1.nwb")[-1]
    note = next(iter(record.resources[MEDIA].values()))
    assert list(list_media(record)) == [medium_of(lab).name]
    stem = medium_of(lab).stem
    for name in ("face.mp4", f"../{stem}.mp4", "show_000000000000.mp4", f"\0{stem}.mp4", f"\ud800{stem}.mp4"):
        assert list_media(replace(record, resources={MEDIA: {name: note}})) == {}
    assert list_media(replace(record, run_id="1", resources={MEDIA: {"face_1.mp4": note}})) == {}


def test_another_run_of_the_step_takes_the_place_of_the_copy(lab: Path) -> None:
    path, old = lab / "nwb" / "s1.nwb", medium_of(lab)
    nwbpipe.process(path, "labeled_video", step="show", params={"keep": "always"}, replace=True)
    assert medium_of(lab).name != old.name
    assert remove_expired_media(SessionFile.at(path), LATER) == []  # it is kept
    remove_step(path, "show")
    (removal,) = remove_expired_media(SessionFile.at(path))
    assert removal.stays == ""
    assert list((lab / "nwb" / "s1").iterdir()) == []


def test_a_commit_that_fails_leaves_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nwbpipe.processors.pose import LabeledVideo

    path, _ = write_session(tmp_path)

    def fail(*_: Any) -> None:
        raise ValueError("write failed")

    with monkeypatch.context() as patched:
        patched.setattr(LabeledVideo, "write", fail)
        with pytest.raises(ValueError, match="write failed"):
            nwbpipe.process(path, "labeled_video")
    assert list((tmp_path / "s1").iterdir()) == []
    assert nwbpipe.process(path, "labeled_video").computed


def test_a_run_is_done_though_the_copy_before_it_can_not_be_looked_for(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nwbpipe.errors import FileAccessError
    from nwbpipe.run import _pending_run

    def refuse(*_: Any) -> None:
        raise FileAccessError("the store does not answer")

    monkeypatch.setattr(_pending_run, "remove_unused_media", refuse)
    path = lab / "nwb" / "s1.nwb"
    assert nwbpipe.process(path, "labeled_video", step="show", params={"keep": "always"}, replace=True).computed


def test_the_copy_can_be_verified(lab: Path) -> None:
    from nwbpipe.run import verify_run

    record = read_records(lab / "nwb" / "s1.nwb")[-1]
    assert [item.name for item in record.inputs] == ["video", "pose:1"]
    differences = verify_run(lab / "nwb" / "s1.nwb", "show")
    assert "/processing/behavior/LabeledVideo_show/external_file" in [item.path for item in differences if item.ok]
    assert all(item.ok for item in differences)


def test_the_copy_is_no_video_to_be_analysed(lab: Path) -> None:
    from nwbpipe.processors import Context, processor
    from nwbpipe.run._prepare import prepare_run

    method = processor("facemap_svd")
    prepared = prepare_run(SessionFile.at(lab / "nwb" / "s1.nwb"), method, Context("svd", method.Params(), {}), {})
    assert prepared.context.inputs["video"].path == "/acquisition/VideoTop"


def test_in_s3_the_copy_is_an_object_beside_the_file(
    lab: Path, bucket: Any, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("s1.nwb", "v1.avi"):
        s3_client.upload_file(str(lab / "nwb" / name), bucket.name, f"x/{name}")
    url = f"s3://{bucket.name}/x/s1.nwb"

    def list_names() -> list[str]:
        return [
            item["Key"] for item in s3_client.list_objects_v2(Bucket=bucket.name, Prefix="x/s1/").get("Contents", [])
        ]

    record = nwbpipe.process(url, "labeled_video", step="again").record
    (name,) = list_names()
    assert name.startswith("x/s1/again_")
    content = s3_client.get_object(Bucket=bucket.name, Key=name)["Body"].read()
    s3_client.put_object(Bucket=bucket.name, Key=name, Body=b"x" * len(content))
    session = SessionFile.at(url)
    assert [item.stays for item in remove_expired_media(session, LATER) if item.step == "again"] == [
        "it was changed since"
    ]
    assert list_names() == [name]
    s3_client.put_object(Bucket=bucket.name, Key=name, Body=content)
    assert [item.stays for item in remove_expired_media(session, LATER) if item.step == "again"] == [""]
    assert list_names() == []
    (last,) = [item for item in session.snapshot().records if item.step == "again" and not item.superseded]
    assert (last.key, last.outputs) == (record.key, ())


def test_what_can_not_be_drawn_is_refused(tmp_path: Path) -> None:
    path, truth = write_session(tmp_path)
    with nwbpipe.transaction(path) as nwbfile:
        nwbfile.add_acquisition(type(nwbfile.acquisition["VideoTop"])(
            name="VideoSide", description="d", unit="n.a.", external_file=["v1.avi"], format="external",
            starting_frame=[0], timestamps=truth.frame_times,
        ))  # fmt: skip
        add_pose(nwbfile, "Mm", {"a": truth.keypoints[:, 0]}, unit="mm", timestamps=truth.frame_times)
    pose = {"pose": "processing/behavior/Pose"}
    with pytest.raises(InputError, match="the pose is of another video"):
        nwbpipe.process(path, "labeled_video", inputs={**pose, "video": "VideoSide"})
    with pytest.raises(InputError, match="can't be drawn"):
        nwbpipe.process(path, "labeled_video", inputs={"pose": "processing/behavior/Mm", "video": "VideoTop"})
    run = nwbpipe.process(path, "labeled_video", inputs=pose)  # the video is the pose's own
    assert run.record.inputs[0].path == "/acquisition/VideoTop"


def test_how_long_it_is_kept() -> None:
    from nwbpipe.processors import Results
    from nwbpipe.processors.pose import LabeledVideo

    def keep(text: str, sure: float) -> timedelta | None:
        results = Results(cast("Any", None), {"sure": sure})
        return LabeledVideo().keep_medium(LabeledVideoParams.model_validate({"keep": text}), results)

    assert keep("30d", 1.0) == timedelta(days=30)
    assert keep("always", 0.0) is None
    assert keep("passed", 0.95) is None
    assert keep("passed", 0.85) == timedelta(days=7)
    with pytest.raises(ValueError, match="expected a number of days"):
        LabeledVideoParams.model_validate({"keep": "0d"})
