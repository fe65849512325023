"""Simulate a video of mice seen from above, with known keypoints, and a DeepLabCut project of its frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
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
#: Of each of several animals: DeepLabCut follows an animal by the ellipse around three keypoints or more.
GROUP_KEYPOINTS = ("snout", "tailbase", "left", "right")
GROUP_SKELETON = (("snout", "left"), ("snout", "right"), ("left", "tailbase"), ("right", "tailbase"))
#: Box of the shelter, which hides what is below it: x0, y0, x1, y1.
SHELTER = (0, 0, 44, 40)
_LENGTH_PX, _RADIUS_PX = 34.0, 5.0
_FLANK_PX, _FLANK_RADIUS_PX = 9.0, 3.5  # from the middle of the body to its left and right side
_FLOOR, _BODY, _SHELTER_GRAY = np.array([150.0, 150, 150]), np.array([70.0, 62, 56]), np.array([110.0, 120, 130])
_PAINT = np.array([[230.0, 60, 50], [50.0, 90, 225], [60.0, 200, 80], [235.0, 215, 60]])  # of the keypoints
_RADII = (_RADIUS_PX, _RADIUS_PX, _FLANK_RADIUS_PX, _FLANK_RADIUS_PX)
_NOISE = 4.0
_BODY_RADIUS = 12.0
_NEAREST_PX = 18.0  # of the middles of two animals: they touch and cover each other in part


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
        True position (x, y) in pixels, (0, 0) in the middle of the upper left pixel; outside of the frame, too. Of
        several animals: shape (n_frames, n_individuals, n_bodyparts, 2).
    visible : ndarray, bool, shape (n_frames, n_bodyparts)
        False where the keypoint is outside of the frame, below the shelter, or below another animal. Of several
        animals: shape (n_frames, n_individuals, n_bodyparts).
    frame_times : ndarray, float64, shape (n_frames,)
        Time of each frame, in seconds. Frames that the camera dropped are neither here nor in the video.
    rate : float
        Nominal frames per second (the video's header), in Hz.
    individuals : tuple of str
        Names of the animals where there are several: each is the same animal in all frames.
    """

    video: Path
    bodyparts: tuple[str, ...]
    keypoints: Floats
    visible: NDArray[np.bool_]
    frame_times: Floats
    rate: float
    individuals: tuple[str, ...] = ()


def simulate_body_video(
    video: Path | str,
    *,
    seed: int = 0,
    n_frames: int = 120,
    dropped: int = 0,
    jitter_s: float = 0.0,
    animals: int = 1,
) -> BodyTruth:
    """Write a video of a mouse in a box, or of several: they hide in a shelter, and leave the frame.

    One has the keypoints ``snout`` and ``tailbase``; each of several, ``left`` and ``right`` at its sides as well.
    Several look alike. They pass close to each other, and then one covers the other in part.

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
    animals : int
        Number of animals: ``mouse1``, ``mouse2``, … in the truth.

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
    paths = np.stack([_walk(rng, slots) for _ in range(animals)], axis=1)
    keypoints = _add_flanks(_keep_apart(paths)) if animals > 1 else paths
    limit = 0.4 / BODY_RATE_HZ
    times = 0.5 + np.arange(slots) / BODY_RATE_HZ + np.clip(rng.normal(0.0, jitter_s, slots), -limit, limit)
    saved = np.sort(rng.permutation(slots)[:n_frames])
    keypoints, times = keypoints[saved], np.round(times[saved], 6)
    inside = ((keypoints >= 0) & (keypoints <= BODY_SIZE - 1)).all(axis=-1)
    x, y = np.moveaxis(keypoints, -1, 0)
    x0, y0, x1, y1 = SHELTER
    hidden = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    visible = inside & ~hidden & ~_find_covered(keypoints)
    video.parent.mkdir(parents=True, exist_ok=True)
    _write_rgb_video(video, _render_body(rng, keypoints))
    if animals == 1:
        return BodyTruth(video, BODY_KEYPOINTS, keypoints[:, 0], visible[:, 0], times, BODY_RATE_HZ)
    names = tuple(f"mouse{number}" for number in range(1, animals + 1))
    return BodyTruth(video, GROUP_KEYPOINTS, keypoints, visible, times, BODY_RATE_HZ, names)


def _walk(rng: np.random.Generator, slots: int) -> Floats:
    """Return the keypoints of an animal that walks about, (slots, keypoints, 2)."""
    middle = BODY_SIZE / 2 + 42.0 * np.clip(smooth_noise(rng, (slots, 2), (min(20.0, slots / 6), 0.0)), -1.8, 1.8)
    turn = 2.2 * smooth_noise(rng, (slots,), min(20.0, slots / 6)) + rng.uniform(-np.pi, np.pi)
    forward = np.column_stack([np.cos(turn), np.sin(turn)])
    return np.stack([middle + forward * _LENGTH_PX / 2, middle - forward * _LENGTH_PX / 2], axis=1)


def _keep_apart(paths: Floats) -> Floats:
    """Return the paths, (slots, animals, keypoints, 2), of animals that step aside for each other."""
    middles = paths.mean(axis=2)
    moved = np.zeros_like(middles)
    for first, last in combinations(range(middles.shape[1]), 2):
        apart = middles[:, first] - middles[:, last]
        distance = np.maximum(np.hypot(*apart.T), 1e-6)[:, None]
        step = apart / distance * (np.hypot(distance, _NEAREST_PX) - distance) / 2
        moved[:, first] += step
        moved[:, last] -= step
    return np.asarray(paths + moved[:, :, None], dtype=np.float64)


def _add_flanks(ends: Floats) -> Floats:
    """Return the keypoints of several animals, (slots, animals, 4, 2), of their snouts and tails."""
    middle, forward = ends.mean(axis=2), ends[:, :, 0] - ends[:, :, 1]
    aside = np.stack([forward[..., 1], -forward[..., 0]], axis=-1) * (_FLANK_PX / _LENGTH_PX)  # y is downward
    return np.concatenate([ends, (middle + aside)[:, :, None], (middle - aside)[:, :, None]], axis=2)


def _find_covered(keypoints: Floats) -> NDArray[np.bool_]:
    """Return which keypoints, (frames, animals, keypoints, 2), lie below an animal that is drawn later."""
    covered = np.zeros(keypoints.shape[:3], dtype=bool)
    for animal in range(keypoints.shape[1]):
        for later in range(animal + 1, keypoints.shape[1]):
            points = keypoints[:, animal]
            across, along = _turn_to_body(keypoints[:, later, :2, None], points[..., 0], points[..., 1])
            covered[:, animal] |= np.hypot(across, along) < _BODY_RADIUS
            apart = points[:, :, None] - keypoints[:, later, None]
            covered[:, animal] |= (np.hypot(apart[..., 0], apart[..., 1]) < _RADIUS_PX).any(axis=2)
    return covered


def _turn_to_body(points: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return positions across and along a body with these keypoints, (..., 2, :, 2), in which it is a disk."""
    first, last = np.moveaxis(points, -3, 0) if points.ndim > 2 else points
    center, half = (first + last) / 2, (first - last) / 2
    length = np.hypot(half[..., 0], half[..., 1])
    along = ((x - center[..., 0]) * half[..., 0] + (y - center[..., 1]) * half[..., 1]) / length
    across = ((x - center[..., 0]) * -half[..., 1] + (y - center[..., 1]) * half[..., 0]) / length
    return across, along * _BODY_RADIUS / (length + 2.0)


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
    levels = {"scorer": [scorer], "individuals": list(truth.individuals), "bodyparts": list(truth.bodyparts)}
    levels = {name: values for name, values in levels.items() if values} | {"coords": ["x", "y"]}
    columns = pandas.MultiIndex.from_product(list(levels.values()), names=list(levels))
    index = pandas.MultiIndex.from_tuples([("labeled-data", folder.name, name) for name in images.values()])
    table = pandas.DataFrame(points.reshape(len(images), -1), index=index, columns=columns)
    table.to_csv(folder / f"CollectedData_{scorer}.csv")
    table.to_hdf(folder / f"CollectedData_{scorer}.h5", key="df_with_missing", mode="w")


def _format_config(truth: BodyTruth, name: str, scorer: str) -> str:
    parts = "".join(f"- {part}\n" for part in truth.bodyparts)
    group = "false\nidentity:\n\n"
    if truth.individuals:
        names = "".join(f"- {name}\n" for name in truth.individuals)
        group = f"true\nidentity: false\n\nindividuals:\n{names}uniquebodyparts: []\nmultianimalbodyparts:\n{parts}\n"
        parts = "  MULTI!\n"  # as DeepLabCut writes it
    skeleton = GROUP_SKELETON if truth.individuals else BODY_SKELETON
    edges = "".join(f"- - {first}\n  - {second}\n" for first, second in skeleton)
    return (
        f"Task: simbody\nscorer: {scorer}\ndate: May1\nmultianimalproject: {group}"
        f"project_path: /data/{name}\n\nengine: pytorch\n\n"
        f"video_sets:\n  /data/{name}/videos/{truth.video.name}:\n    crop: 0, {BODY_SIZE}, 0, {BODY_SIZE}\n"
        f"bodyparts:\n{parts}\nstart: 0\nstop: 1\nnumframes2pick: 20\n\nskeleton:\n{edges}"
        "skeleton_color: black\npcutoff: 0.6\ndotsize: 6\nalphavalue: 0.7\ncolormap: rainbow\n\n"
        "TrainingFraction:\n- 0.95\niteration: 0\ndefault_net_type: resnet_50\n"
        "default_augmenter: default\nsnapshotindex: -1\nbatch_size: 8\n"
    )


def _render_body(rng: np.random.Generator, keypoints: Floats) -> Iterator[NDArray[np.uint8]]:
    """Yield the images, (height, width, 3) uint8, of keypoints (frames, animals, keypoints, 2)."""
    yy, xx = np.mgrid[0:BODY_SIZE, 0:BODY_SIZE].astype(np.float64)
    floor = _FLOOR + 8.0 * smooth_noise(rng, (BODY_SIZE, BODY_SIZE), 3.0)[..., None]
    x0, y0, x1, y1 = SHELTER
    for animals in keypoints:
        image = floor.copy()
        for points in animals:
            body = _render_disk(*_turn_to_body(points[:2], xx, yy), _BODY_RADIUS)
            image += body[..., None] * (_BODY - image)
            for (x, y), paint, radius in zip(points, _PAINT, _RADII, strict=False):
                image += _render_disk(yy - y, xx - x, radius)[..., None] * (paint - image)
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
