"""Simulate a video of a mouse's face with known pupil and whisker-pad motion (lossless FFV1 in AVI)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.simulate._common import Floats, Scale, require, smooth_noise, to_clock, to_reference

RATE_HZ = 30
HEIGHT, WIDTH = 128, 160
EYE_CENTER, EYE_AXES = (44.0, 52.0), (26.0, 32.0)
PUPIL_GRAY, EYE_GRAY, FUR_GRAY = 25.0, 185.0, 135.0
#: Gray level between pupil and iris: Facemap calls it the ROI's saturation.
SATURATION = 120.0
PUPIL_ASPECT = 1.12
PAD_BOX = (72, 120, 88, 152)
WHISK_HZ, WHISK_PX = 6.0, 2.0
NOISE_GRAY = 1.5
#: Camera clock against a perfect one, and the scatter of its time stamps.
PERIOD_ERROR, JITTER_S = 2.0e-5, 2.0e-4


@dataclass(frozen=True)
class FaceTruth:
    """The truth of the simulated face video.

    Attributes
    ----------
    frame_times : ndarray, float64, shape (n_frames,)
        Time of each frame in seconds, in the reference clock. Slightly irregular; the demo's camera drops
        two frames.
    exposure_times : ndarray, float64, shape (n_exposures,)
        Times at which the camera's exposure line rose, for the frames that were dropped, too.
    pupil_area : ndarray, float64, shape (n_frames,)
        Area of the pupil in square pixels.
    pupil_center : ndarray, float64, shape (n_frames, 2)
        Center of the pupil (y, x) in pixels.
    whisker_position : ndarray, float64, shape (n_frames,)
        Horizontal displacement of the whisker pad in pixels.
    motion : ndarray, float64, shape (n_frames,)
        Drive of the pad's motion energy: its displacement since the previous frame, in pixels (0 for the first
        frame).
    nose : ndarray, float64, shape (n_frames, 2)
        Position (y, x) of a bright spot on the nose, in pixels.
    mouth : ndarray, float64, shape (n_frames, 2)
        Position (y, x) of a dark spot at the mouth, in pixels.
    pupil_roi : ndarray, int64, shape (4,)
        Box that holds the pupil: y0, y1, x0, x1 (half-open), for Facemap's ``pupil`` ROI. Use the ellipse
        inscribed in it.
    motion_roi : ndarray, int64, shape (4,)
        Box of the whisker pad, for Facemap's ``motion SVD`` ROI.
    saturation : float
        Gray level above which a pixel of the pupil ROI isn't pupil.
    rate : float
        Nominal frames per second (the video's header), in Hz.
    """

    frame_times: Floats
    exposure_times: Floats
    pupil_area: Floats
    pupil_center: Floats
    whisker_position: Floats
    motion: Floats
    nose: Floats
    mouth: Floats
    pupil_roi: NDArray[np.int64]
    motion_roi: NDArray[np.int64]
    saturation: float
    rate: float


def write_face(video: Path, timestamps: Path, rng: np.random.Generator, scale: Scale) -> FaceTruth:
    """Write the video and a CSV of its frames' times in the camera's own clock.

    Parameters
    ----------
    video : Path
        The .avi file to write (8-bit gray, lossless).
    timestamps : Path
        The .csv file to write: columns ``frame`` and ``time_s``.
    rng : numpy.random.Generator
        Source of all randomness.
    scale : Scale
        Duration.
    """
    times, exposures = _draw_frame_times(rng, scale)
    n_frames = len(times)
    # Slow enough for a real pupil: seconds.
    radius = 11.0 + 1.8 * np.clip(smooth_noise(rng, (n_frames,), min(1.5 * RATE_HZ, n_frames / 8)), -2.2, 2.2)
    center = np.array(EYE_CENTER) + 1.2 * np.clip(smooth_noise(rng, (n_frames, 2), (12.0, 0.0)), -2.0, 2.0)
    bouts = np.clip(0.5 + 0.6 * smooth_noise(rng, (n_frames,), 0.5 * RATE_HZ), 0.0, 1.0)
    whisker = WHISK_PX * bouts * np.sin(2 * np.pi * WHISK_HZ * (times - times[0]))
    nose = np.array([50.0, 140.0]) + 0.8 * smooth_noise(rng, (n_frames, 2), (3.0, 0.0))
    mouth = np.array([108.0, 52.0]) + 1.0 * smooth_noise(rng, (n_frames, 2), (8.0, 0.0))
    truth = FaceTruth(
        frame_times=times,
        exposure_times=exposures,
        pupil_area=np.pi * radius**2,
        pupil_center=center,
        whisker_position=whisker,
        motion=np.abs(np.diff(whisker, prepend=whisker[:1])),
        nose=nose,
        mouth=mouth,
        pupil_roi=np.array([20, 69, 22, 83]),
        motion_roi=np.array(PAD_BOX),
        saturation=SATURATION,
        rate=float(RATE_HZ),
    )
    video.parent.mkdir(parents=True, exist_ok=True)
    _write_video(video, rng, truth)
    rows = "".join(f"{frame},{time:.6f}\n" for frame, time in enumerate(to_clock(times, "face")))
    timestamps.write_text("frame,time_s\n" + rows, encoding="ascii")
    return truth


def _draw_frame_times(rng: np.random.Generator, scale: Scale) -> tuple[Floats, Floats]:
    """Return the times of the saved frames, and of all exposures."""
    start = 0.4 + float(rng.uniform(0.0, 0.1))
    slots = int((scale.duration_s - 0.6) * RATE_HZ)
    jitter = np.clip(rng.normal(0.0, JITTER_S, slots), -4 * JITTER_S, 4 * JITTER_S)
    times = start + np.arange(slots) / RATE_HZ * (1.0 + PERIOD_ERROR) + jitter
    # The truth is rounded to the resolution of the camera's clock (microseconds).
    exposures = to_reference(np.round(to_clock(times, "face"), 6), "face")
    dropped = rng.choice(np.arange(100, slots - 100), 2, replace=False) if slots > 1000 else np.empty(0, np.int64)
    return np.delete(exposures, dropped), exposures


def _write_video(path: Path, rng: np.random.Generator, truth: FaceTruth) -> None:
    av: Any = require("av", "av")
    with av.open(str(path), "w", format="avi", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("ffv1", rate=Fraction(RATE_HZ), options={"threads": "1", "flags": "+bitexact"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        for image in _render_frames(rng, truth):
            frame = av.VideoFrame.from_ndarray(image, format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _render_frames(rng: np.random.Generator, truth: FaceTruth) -> Any:
    """Yield the images, (height, width) uint8."""
    yy, xx = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    fur = FUR_GRAY + 6.0 * smooth_noise(rng, (HEIGHT, WIDTH), 2.0)
    eye = _render_disk(yy - EYE_CENTER[0], (xx - EYE_CENTER[1]) * EYE_AXES[0] / EYE_AXES[1], EYE_AXES[0])
    still = fur * (1.0 - eye) + EYE_GRAY * eye
    pad_top, pad_bottom, pad_left, pad_right = PAD_BOX
    margin = 8
    pad = FUR_GRAY + 28.0 * np.clip(
        smooth_noise(rng, (pad_bottom - pad_top, pad_right - pad_left + 2 * margin), 2.2), -2.5, 2.5
    )
    marker_y, marker_x = locate_marker()
    columns = np.arange(pad_left, pad_right, dtype=np.float64)
    for index in range(len(truth.frame_times)):
        image = still.copy()
        whisker = float(truth.whisker_position[index])
        position = columns - pad_left + margin - whisker
        first = np.floor(position).astype(int)
        part = position - first
        image[pad_top:pad_bottom, pad_left:pad_right] = pad[:, first] * (1.0 - part) + pad[:, first + 1] * part
        radius = np.sqrt(truth.pupil_area[index] / np.pi)
        y, x = truth.pupil_center[index]
        pupil = _render_disk((yy - y) * np.sqrt(PUPIL_ASPECT), (xx - x) / np.sqrt(PUPIL_ASPECT), radius)
        image += pupil * (PUPIL_GRAY - image)
        for (spot_y, spot_x), gray in (
            (truth.nose[index], 235.0),
            (truth.mouth[index], 40.0),
            ((marker_y, marker_x + whisker), 240.0),
        ):
            image += _render_disk(yy - spot_y, xx - spot_x, 2.5) * (gray - image)
        image += rng.normal(0.0, NOISE_GRAY, image.shape)
        yield np.clip(np.rint(image), 0, 255).astype(np.uint8)


def locate_marker() -> tuple[float, float]:
    """Return the resting position (y, x) of the bright marker on the whisker pad, in pixels."""
    return 96.0, 120.0


def _render_disk(dy: Floats, dx: Floats, radius: float) -> Floats:
    """Return 1 inside the disk and 0 outside, with a linear edge one pixel wide (which keeps the area)."""
    return np.clip(radius + 0.5 - np.hypot(dy, dx), 0.0, 1.0)
