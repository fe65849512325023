"""Several regions at once in Facemap's SVD, a blinking eye, and a turned video: each against what was simulated."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO

from nwbpipe.environments import find
from nwbpipe.errors import ToolMissingError
from nwbpipe.processors.face import FacemapSvd
from nwbpipe.run import process
from tests.processors.face.session import write_session

pytestmark = pytest.mark.slow
WIDTH, HEIGHT, FRAMES = 64, 56, 2100  # of 2000 frames and more, Facemap puts together the SVDs of stretches of 1000
LEFT, RIGHT = {"x": [4, 28], "y": [4, 24]}, {"x": [36, 60], "y": [4, 24]}
EYE = {"x": [8, 56], "y": [28, 54]}
SATURATION, DARK = 120.0, 30.0


@pytest.fixture(scope="module", autouse=True)
def facemap() -> None:
    try:
        find(FacemapSvd.tool)
    except ToolMissingError as error:
        pytest.skip(f"Facemap is not installed: {error.problem.found or error.problem.where}")


def write_video(path: Path, images: np.ndarray, codec: str = "ffv1") -> None:
    import av

    with av.open(str(path), "w") as video:
        stream = video.add_stream(codec, rate=30)
        stream.width, stream.height = images.shape[2], images.shape[1]
        stream.pix_fmt = "gray" if codec == "ffv1" else "yuv420p"
        stream.time_base = Fraction(1, 30)
        if codec != "ffv1":
            stream.options = {"crf": "5"}
        for image in images:
            video.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="gray")))
        video.mux(stream.encode())


def make_pattern(rng: np.random.Generator) -> np.ndarray:
    """Return a pattern of 20 x 24 pixels, of blocks of 4 x 4, with a mean of 0 and a mean square of 1."""
    blocks = rng.normal(size=(5, 6))
    blocks -= blocks.mean()
    return np.kron(blocks / np.sqrt((blocks**2).mean()), np.ones((4, 4)))


@pytest.mark.long  # 2000 frames, and Facemap's imports: 25 s
def test_each_region_has_its_own_result(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    drives = [
        12 * np.convolve(rng.normal(size=FRAMES + 4), np.ones(5), "valid") / np.sqrt(5) * scale for scale in (1, 0.5)
    ]
    radius = 6 + 2 * np.sin(np.arange(FRAMES) / 40)
    shut = np.zeros(FRAMES, bool)
    for first in range(150, FRAMES, 300):
        shut[first : first + 9] = True
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    images = np.full((FRAMES, HEIGHT, WIDTH), 128.0)
    for roi, drive in zip((LEFT, RIGHT), drives, strict=True):
        images[:, slice(*roi["y"]), slice(*roi["x"])] += drive[:, None, None] * make_pattern(rng)
    images[:, 28:54, 8:56] = 200
    pupil = np.hypot(x - 32, y - 40)[None] <= radius[:, None, None]
    images[pupil & ~shut[:, None, None]] = DARK
    images += rng.normal(0, 1, images.shape)
    write_video(tmp_path / "face.avi", np.clip(np.rint(images), 0, 255).astype(np.uint8))
    path = write_session(tmp_path / "a.nwb", ["face.avi"], FRAMES, rate=30.0)
    eye = {**EYE, "saturation": SATURATION}
    params = {
        "sbin": 2,
        "n_components": 10,
        "movie_svd": True,
        "motion_rois": [LEFT, RIGHT],
        "blinks": [eye],
        "pupils": [eye],
    }
    process(path, "facemap_svd", params=params)
    with NWBHDF5IO(path, "r") as io:
        behavior = io.read().processing["behavior"]
        sampled = np.r_[1:1000, 1100:2099]  # by Facemap: two stretches of 1000 frames, less the first of each
        for number, (drive, other) in enumerate(zip(drives, drives[::-1], strict=True), start=1):
            masks = behavior[f"MovieSVDMasksROI{number}_facemap_svd"]
            movie = behavior[f"MovieSVDROI{number}_facemap_svd"].data[:, 0]
            assert abs(np.corrcoef(movie, drive)[0, 1]) >= 0.995
            assert abs(np.corrcoef(movie, other)[0, 1]) < 0.2
            centred = drive[sampled] - drive.mean()
            expected = np.sqrt((centred**2).sum() * 20 * 24 / 4)  # two by two pixels are averaged
            assert masks["singular_value"].data[0] == pytest.approx(expected, rel=0.02)
            assert (np.diff(masks["singular_value"].data[:]) <= 0).all()
            energy = behavior[f"MotionEnergyROI{number}_facemap_svd"].data[:]
            assert np.corrcoef(energy[1:], np.abs(np.diff(drive)))[0, 1] >= 0.99
            motion = behavior[f"MotionSVDROI{number}_facemap_svd"].data[:, 0]
            assert abs(np.corrcoef(motion[1:], np.abs(np.diff(drive)))[0, 1]) >= 0.98
            assert "singular_value" in behavior[f"MotionSVDMasksROI{number}_facemap_svd"].colnames
        # The whole frame has both, and the eye.
        spectrum = behavior["MovieSVDMasks_facemap_svd"]["singular_value"].data[:]
        assert spectrum[0] > behavior["MovieSVDMasksROI1_facemap_svd"]["singular_value"].data[0]
        blink = behavior["Blink_facemap_svd"].data[:]
        area = np.where(shut, 0, pupil.sum(axis=(1, 2)))
        np.testing.assert_allclose(blink, area * (SATURATION - DARK), atol=0.03 * blink.max())
        tracking = behavior["PupilTracking_facemap_svd"]["pupil_area"]
        found = np.isfinite(tracking.data[:])
        assert f"it was in {found.mean():.1%} of the frames" in tracking.description
        assert found[~shut].all()
        assert np.median(tracking.data[:][~shut] / area[~shut]) == pytest.approx(1, abs=0.1)


def test_boxes_are_those_of_the_video_as_a_player_shows_it(tmp_path: Path) -> None:
    """A camera that was turned: the file's pixels lie on their side, and it says how to show them."""
    rng = np.random.default_rng(1)
    frames = 60
    drive = rng.uniform(-60, 60, frames)
    images = np.full((frames, 48, 96), 128.0)
    images[:, 8:32, 60:90] += drive[:, None, None]
    write_video(tmp_path / "a.mp4", np.clip(images, 0, 255).astype(np.uint8), codec="libx264")
    content = (tmp_path / "a.mp4").read_bytes()
    matrix = content.index(struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30), content.index(b"tkhd"))
    turned = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(content[:matrix] + turned + content[matrix + 36 :])
    path = write_session(tmp_path / "a.nwb", ["a.mp4"], frames, rate=30.0)
    shown = {"x": [48 - 32, 48 - 8], "y": [60, 90]}  # turned by 90 degrees, clockwise
    process(path, "facemap_svd", params={"sbin": 2, "full_frame": False, "motion_rois": [shown]})
    with NWBHDF5IO(path, "r") as io:
        energy = io.read().processing["behavior"]["MotionEnergyROI1_facemap_svd"].data[:]
    assert np.corrcoef(energy[1:], np.abs(np.diff(drive)))[0, 1] >= 0.98
    assert energy[1:].mean() == pytest.approx(
        np.abs(np.diff(drive)).mean() * 15 * 12, rel=0.1
    )  # of 256 levels, H.264 has 220
