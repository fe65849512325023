"""Simulate a video of a mouse seen from above, with known keypoints, and a DeepLabCut project of its frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.simulate._common import Floats, require, smooth_noise
from nwbpipe.simulate._face import _render_disk

BODY_SIZE = 160  #: Height and width of the frames, in pixels.
BODY_RATE_HZ = 30.0
BODY_KEYPOINTS = ("snout", "tailbase")
BODY_SKELETON = (("snout", "tailbase"),)
#: Box of the shelter, which hides what is below it: x0, y0, x1, y1.
SHELTER = (0, 0, 44, 40)
_LENGTH_PX, _RADIUS_PX = 34.0, 5.0
_FLOOR, _BODY, _SHELTER_GRAY = np.array([150.0, 150, 150]), np.array([70.0, 62, 56]), np.array([110.0, 120, 130])
_PAINT = np.array([[230.0, 60, 50], [50.0, 90, 225]])  # of the two keypoints
_NOISE = 4.0


@dataclass(frozen=True)
class BodyTruth:
    """The truth of a simulated body video.

    Attributes
    ----------
    video : Path
        The video: lossless (FFV1 in AVI), RGB.
    bodyparts : tuple of str
        Names of the keypoints.
    keypoints : ndarray, float64, shape (n_frames, n_bodyparts, 2)
        True position (x, y) in pixels, (0, 0) in the middle of the upper left pixel; outside of the frame, too.
    visible : ndarray, bool, shape (n_frames, n_bodyparts)
        False where the keypoint is outside of the frame, or below the shelter.
    frame_times : ndarray, float64, shape (n_frames,)
        Time of each frame, in seconds. Frames that the camera dropped are neither here nor in the video.
    rate : float
        Nominal frames per second (the video's header), in Hz.
    """

    video: Path
    bodyparts: tuple[str, ...]
    keypoints: Floats
    visible: NDArray[np.bool_]
    frame_times: Floats
    rate: float


def simulate_body_video(
    video: Path | str, *, seed: int = 0, n_frames: int = 120, dropped: int = 0, jitter_s: float = 0.0
) -> BodyTruth:
    """Write a video of a mouse in a box: it hides in a shelter, and leaves the frame.

    Parameters
    ----------
    video : path
        The .avi file to write; 160 x 160 pixels.
    seed : int
        Seed of the path, the looks and the noise.
    n_frames : int
        Number of frames in the video.
    dropped : int
        Number of frames that the camera lost, at random places: the times have gaps there.
    jitter_s : float
        Standard deviation of the frames' times about a regular grid, in seconds: a variable frame rate.

    Returns
    -------
    BodyTruth

    Examples
    --------
    >>> truth = simulate_body_video("body.avi", n_frames=60, dropped=2)  # doctest: +SKIP
    >>> truth.keypoints.shape  # doctest: +SKIP
    (60, 2, 2)
    """
    video, rng = Path(video), np.random.default_rng(seed)
    slots = n_frames + dropped
    middle = BODY_SIZE / 2 + 42.0 * np.clip(smooth_noise(rng, (slots, 2), (min(20.0, slots / 6), 0.0)), -1.8, 1.8)
    turn = 2.2 * smooth_noise(rng, (slots,), min(20.0, slots / 6)) + rng.uniform(-np.pi, np.pi)
    forward = np.column_stack([np.cos(turn), np.sin(turn)])
    keypoints = np.stack([middle + forward * _LENGTH_PX / 2, middle - forward * _LENGTH_PX / 2], axis=1)
    limit = 0.4 / BODY_RATE_HZ
    times = 0.5 + np.arange(slots) / BODY_RATE_HZ + np.clip(rng.normal(0.0, jitter_s, slots), -limit, limit)
    saved = np.sort(rng.permutation(slots)[:n_frames])
    keypoints, times = keypoints[saved], np.round(times[saved], 6)
    inside = ((keypoints >= 0) & (keypoints <= BODY_SIZE - 1)).all(axis=2)
    x0, y0, x1, y1 = SHELTER
    hidden = (
        (keypoints[..., 0] >= x0) & (keypoints[..., 0] < x1) & (keypoints[..., 1] >= y0) & (keypoints[..., 1] < y1)
    )
    video.parent.mkdir(parents=True, exist_ok=True)
    _write_rgb_video(video, _render_body(rng, keypoints))
    return BodyTruth(video, BODY_KEYPOINTS, keypoints, inside & ~hidden, times, BODY_RATE_HZ)


def write_dlc_project(folder: Path | str, truth: BodyTruth, *, frames: Sequence[int], scorer: str = "sim") -> Path:
    """Write a DeepLabCut project with labelled frames of a simulated video, as its GUI leaves one.

    Keypoints that can't be seen have no label. The video's path in config.yaml is that of another machine, as in a
    project that was moved.

    Parameters
    ----------
    folder : path
        Folder of the project: ``config.yaml``, ``labeled-data/<video>/`` with ``CollectedData_<scorer>.csv`` and
        ``.h5`` and the images, ``videos/``.
    truth : BodyTruth
        The simulated video.
    frames : sequence of int
        Which frames are labelled.
    scorer : str
        Who labelled them.

    Returns
    -------
    Path
        The project's config.yaml.
    """
    pillow: Any = require("PIL.Image", "pillow")
    folder, numbers = Path(folder), sorted(set(frames))
    labels = folder / "labeled-data" / truth.video.stem
    labels.mkdir(parents=True, exist_ok=True)
    (folder / "videos").mkdir(exist_ok=True)
    names = {frame: f"img{frame:04d}.png" for frame in numbers}
    for frame, image in _read_frames(truth.video, numbers):
        pillow.fromarray(image).save(labels / names[frame])
    write_label_tables(labels, truth, names, scorer)
    config = folder / "config.yaml"
    config.write_text(_format_config(truth, folder.name, scorer), encoding="ascii")
    return config


def write_label_tables(folder: Path, truth: BodyTruth, images: Mapping[int, str], scorer: str) -> None:
    """Write the labels of a video's images, by the numbers of their frames, as DeepLabCut's GUI does."""
    pandas: Any = require("pandas", "pandas")
    points = np.where(truth.visible[..., None], truth.keypoints, np.nan)[list(images)]
    columns = pandas.MultiIndex.from_product(
        [[scorer], list(truth.bodyparts), ["x", "y"]], names=["scorer", "bodyparts", "coords"]
    )
    index = pandas.MultiIndex.from_tuples([("labeled-data", folder.name, name) for name in images.values()])
    table = pandas.DataFrame(points.reshape(len(images), -1), index=index, columns=columns)
    table.to_csv(folder / f"CollectedData_{scorer}.csv")
    table.to_hdf(folder / f"CollectedData_{scorer}.h5", key="df_with_missing", mode="w")


def _format_config(truth: BodyTruth, name: str, scorer: str) -> str:
    parts = "".join(f"- {part}\n" for part in truth.bodyparts)
    edges = "".join(f"- - {first}\n  - {second}\n" for first, second in BODY_SKELETON)
    return (
        f"Task: simbody\nscorer: {scorer}\ndate: May1\nmultianimalproject: false\nidentity:\n\n"
        f"project_path: /data/{name}\n\nengine: pytorch\n\n"
        f"video_sets:\n  /data/{name}/videos/{truth.video.name}:\n    crop: 0, {BODY_SIZE}, 0, {BODY_SIZE}\n"
        f"bodyparts:\n{parts}\nstart: 0\nstop: 1\nnumframes2pick: 20\n\nskeleton:\n{edges}"
        "skeleton_color: black\npcutoff: 0.6\ndotsize: 6\nalphavalue: 0.7\ncolormap: rainbow\n\n"
        "TrainingFraction:\n- 0.95\niteration: 0\ndefault_net_type: resnet_50\n"
        "default_augmenter: default\nsnapshotindex: -1\nbatch_size: 8\n"
    )


def _render_body(rng: np.random.Generator, keypoints: Floats) -> Iterator[NDArray[np.uint8]]:
    """Yield the images, (height, width, 3) uint8."""
    yy, xx = np.mgrid[0:BODY_SIZE, 0:BODY_SIZE].astype(np.float64)
    floor = _FLOOR + 8.0 * smooth_noise(rng, (BODY_SIZE, BODY_SIZE), 3.0)[..., None]
    x0, y0, x1, y1 = SHELTER
    for points in keypoints:
        image = floor.copy()
        center, half = points.mean(axis=0), (points[0] - points[1]) / 2
        along = ((xx - center[0]) * half[0] + (yy - center[1]) * half[1]) / np.hypot(*half)
        across = ((xx - center[0]) * -half[1] + (yy - center[1]) * half[0]) / np.hypot(*half)
        radius = 12.0
        body = _render_disk(across * 1.0, along * radius / (np.hypot(*half) + 2.0), radius)
        image += body[..., None] * (_BODY - image)
        for (x, y), paint in zip(points, _PAINT, strict=True):
            image += _render_disk(yy - y, xx - x, _RADIUS_PX)[..., None] * (paint - image)
        image[y0:y1, x0:x1] = _SHELTER_GRAY
        image += rng.normal(0.0, _NOISE, image.shape)
        yield np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _write_rgb_video(path: Path, images: Iterator[NDArray[np.uint8]]) -> None:
    av: Any = require("av", "av")
    rate = Fraction(BODY_RATE_HZ).limit_denominator()
    with av.open(str(path), "w", format="avi", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("ffv1", rate=rate, options={"threads": "1", "flags": "+bitexact"})
        stream.width, stream.height, stream.pix_fmt = BODY_SIZE, BODY_SIZE, "bgr0"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _read_frames(video: Path, numbers: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    av: Any = require("av", "av")
    with av.open(str(video)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in numbers:
                yield number, frame.to_ndarray(format="rgb24")
