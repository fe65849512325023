"""SLEAP's two tracks and their video, against its own analysis export, h5py and PyAV; Facemap on the video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe.environments import ToolEnvironment
from tests.examples.checking import BLOCK, Converted, assert_blocks_equal, blocks, check_session, times_of

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
FRAMES, RATE, SBIN = 3000, 25.0, 16


@pytest.fixture
def session(convert_example: Callable[[str], Converted]) -> Converted:
    return convert_example("sleap")


@pytest.fixture
def folder(raw_store: Path) -> Path:
    return raw_store / "pose" / "sleap_analysis_example"


def test_session(session: Converted) -> None:
    check_session(session)


@pytest.mark.parametrize("track", [0, 1])
def test_pose(session: Converted, folder: Path, track: int) -> None:
    with h5py.File(folder / "predictions.analysis.h5") as file:
        nodes = [name.decode() for name in file["node_names"]]
        tracks = file["tracks"][track]  # (x and y, nodes, frames)
    with h5py.File(folder / "predictions.slp") as file:
        instances, points = file["instances"][()], file["pred_points"][()]
        frames = file["frames"]["frame_idx"][()]
    chosen = instances[instances["track"] == track]
    assert len(chosen) == FRAMES
    scores = np.full((FRAMES, len(nodes)), np.nan)
    for instance in chosen:
        frame = int(frames[int(instance["frame_id"])])
        scores[frame] = points["score"][int(instance["point_id_start"]) : int(instance["point_id_end"])]
    with session.open() as file:
        pose = file[f"processing/behavior/PoseEstimationTrack{track}_fly{track}"]
        assert sum(name.startswith("PoseEstimationSeries") for name in pose) == len(nodes) == 13
        for number, node in enumerate(nodes):
            series = pose[f"PoseEstimationSeries{node.capitalize()}"]
            expected = tracks[:, number].T
            assert_blocks_equal(series["data"], expected)
            found = np.isfinite(expected[:, 0])
            np.testing.assert_array_equal(np.isfinite(series["data"][:, 0]), found)
            np.testing.assert_allclose(series["confidence"][()][found], scores[found, number], atol=1e-6)
            np.testing.assert_allclose(times_of(series), np.arange(FRAMES) / RATE, atol=1e-9, rtol=0)


def test_kinematics_and_rows_of_the_video(
    session: Converted, copy_of: Callable[[Converted], Path], tool: Callable[[str], ToolEnvironment], folder: Path
) -> None:
    tool("kinematics")
    path = copy_of(session)
    params = {
        "keypoints": ["thorax"], "min_likelihood": None, "heading": ["abdomen", "head"], "region_point": "thorax",
        "regions": {"left": [[0, 0], [512, 0], [512, 1024], [0, 1024]]},
    }  # fmt: skip
    pose = "PoseEstimationTrack0_fly0"
    nwbpipe.process(path, "kinematics", step="walk", params=params, inputs={"pose": pose})
    inputs = {"series": f"{pose}, walk_speed", "grid": "ImageSeries_video"}
    nwbpipe.process(path, "synchronize", step="rows", inputs=inputs)
    with h5py.File(folder / "predictions.analysis.h5") as file:
        nodes = [name.decode() for name in file["node_names"]]
        thorax, abdomen, head = (
            file["tracks"][0][:, nodes.index(name)].T for name in ("thorax", "abdomen", "head")
        )  # fmt: skip
    ahead = head - abdomen
    with h5py.File(path) as file:
        series = file["processing/behavior/Kinematics_walk"]
        speed = series["walk_speed/data"][:, 0]
        np.testing.assert_allclose(speed, np.linalg.norm(np.gradient(thorax, 1 / RATE, axis=0), axis=1), rtol=1e-6)
        np.testing.assert_allclose(series["walk_heading/data"], np.arctan2(ahead[:, 1], ahead[:, 0]), atol=1e-9)
        occupancy = file["processing/behavior/RegionOccupancy_walk"]
        assert occupancy["time_s"][0] == pytest.approx((thorax[:, 0] <= 512).sum() / RATE)
        rows = file["processing/behavior/Synchronized_rows"]
        np.testing.assert_allclose(times_of(rows[f"rows_{pose}"]), times_of(file["acquisition/ImageSeries_video"]))
        column = sorted(nodes, key=str.lower).index("thorax")
        np.testing.assert_allclose(rows[f"rows_{pose}/data"][:, column], thorax, atol=1e-6)
        np.testing.assert_allclose(rows["rows_walk_speed/data"][:, 0], speed)


def test_video(session: Converted, folder: Path) -> None:
    raw = folder / "20190128_113421.120s.mp4"
    with session.open() as file:
        series = file["acquisition/ImageSeries_video"]
        (name,) = series["external_file"].asstr()[()]
        times = times_of(series)
        assert series["format"].asstr()[()] == "external"
    assert not Path(name).is_absolute()
    linked = session.path.parent / name
    assert linked.resolve().is_relative_to(session.path.parent.resolve())
    assert linked.read_bytes() == raw.read_bytes()
    with av.open(str(raw)) as container:
        stream = container.streams.video[0]
        stamps = np.array(sorted(float(p.pts * p.time_base) for p in container.demux(stream) if p.pts is not None))
    np.testing.assert_allclose(times, stamps - stamps[0], atol=1e-3, rtol=0)
    assert len(times) == FRAMES


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_whole_video_with_both_flies_drawn_on(
    session: Converted, copy_of: Callable[[Converted], Path], folder: Path
) -> None:
    path = copy_of(session)
    inputs = {"pose": "PoseEstimationTrack0_fly0, PoseEstimationTrack1_fly1", "video": "ImageSeries_video"}
    params = {"min_likelihood": None, "keep": "always", "skeleton": False, "radius_px": 6}
    nwbpipe.process(path, "labeled_video", step="show", inputs=inputs, params=params)
    with h5py.File(path) as file:
        series = file["processing/behavior/LabeledVideo_show"]
        (name,) = series["external_file"].asstr()[()]
        np.testing.assert_array_equal(times_of(series), times_of(file["acquisition/ImageSeries_video"]))
    with h5py.File(folder / "predictions.analysis.h5") as file:
        thorax = file["tracks"][
            :, :, [node.decode() for node in file["node_names"]].index("thorax")
        ]  # (2, xy, frames)
    raw = folder / "20190128_113421.120s.mp4"
    count = drawn = 0
    with av.open(str(path.parent / name)) as copy, av.open(str(raw)) as original:
        frames = zip(copy.decode(video=0), original.decode(video=0), strict=True)
        for count, (labeled, plain) in enumerate(frames, start=1):
            if count % 250 == 1:
                image, before = (frame.to_ndarray(format="rgb24").astype(int) for frame in (labeled, plain))
                colourful = np.ptp(image, axis=2) - np.ptp(before, axis=2)  # the camera sees gray levels
                for x, y in thorax[:, :, count - 1]:
                    around = colourful[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4]
                    assert around.mean() > 40, (count, x, y)
                    drawn += 1
                assert np.median(np.abs(image - before)) <= 3
    assert (count, drawn) == (FRAMES, 24)


def decoded(path: Path, first: int, last: int) -> np.ndarray:
    """Frames [first, last) in gray, averaged in squares of SBIN pixels, by PyAV: (frames, pixels).

    The H.264 stream is decoded from its start, so that no seek can be off by a frame.
    """
    found = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= last:
                break
            if number >= first:
                gray = frame.to_ndarray(format="rgb24")[:, :, 0].astype(np.float32)
                height, width = (size // SBIN * SBIN for size in gray.shape)
                gray = gray[:height, :width].reshape(height // SBIN, SBIN, width // SBIN, SBIN)
                found.append(gray.mean(axis=(1, 3)).ravel())
    return np.array(found)


@pytest.mark.long
def test_facemap_svd(
    session: Converted, copy_of: Callable[[Converted], Path], tool: Callable[[str], ToolEnvironment]
) -> None:
    """Motion energy is the sum of absolute differences of consecutive binned frames: computed here with PyAV."""
    tool("facemap_svd")
    path = copy_of(session)
    run = nwbpipe.process(path, "facemap_svd", params={"n_components": 20, "sbin": SBIN}, threads=2)
    assert run.computed
    video = session.path.parent / "sleap" / "video_20190128_113421.120s.mp4"
    with h5py.File(path) as file:
        energy = file["processing/behavior/MotionEnergy_facemap_svd"]
        stored, times = energy["data"][()], times_of(energy)
        projections = file["processing/behavior/MotionSVD_facemap_svd"]
        assert projections["data"].shape == (FRAMES, 20)
        assert np.isfinite(projections["data"][()]).all()
        np.testing.assert_array_equal(times_of(projections), times)
        np.testing.assert_array_equal(times, times_of(file["acquisition/ImageSeries_video"]))
        masks = file["processing/behavior/MotionSVDMasks_facemap_svd/mask"][()]
    assert masks.shape == (20, 64, 64)
    assert stored.shape == (FRAMES,)
    # First and middle block, and across the edge of the first chunk of 500 frames that Facemap reads.
    for block in (slice(1, 1 + BLOCK), slice(480, 520), *list(blocks(1000))[1:2]):
        frames = decoded(video, block.start - 1, block.stop)
        expected = np.abs(np.diff(frames, axis=0)).sum(axis=1)
        assert np.corrcoef(stored[block], expected)[0, 1] > 0.999
        np.testing.assert_allclose(stored[block], expected, rtol=0.03)
    from pynwb import validate

    assert validate(path=str(path)) == []
    assert not nwbpipe.process(path, "facemap_svd", params={"n_components": 20, "sbin": SBIN}).computed
