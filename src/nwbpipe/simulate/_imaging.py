"""Simulate a two-photon movie with known cells, spikes and motion, in the format of ScanImage (BigTIFF)."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.simulate._common import Floats, Scale, require, smooth_noise

RATE_HZ = 25.0
#: Decay time of GCaMP6f as suite2p's documentation gives it, in seconds.
TAU_S = 0.7
SPIKE_RATE_HZ = 0.5
UM_PER_PIXEL = 1.5
CELL_RADIUS = (4.6, 6.0)
MAX_SHIFT = 4.0
BASELINE_PHOTONS = 12.0
#: int16 steps to one photon, and the digitiser's offset.
PHOTON_GAIN, DIGITIZER_OFFSET, READ_NOISE = 24.0, 120.0, 12.0
_MARGIN = 6
_LINE_OVERHEAD = 1.05
_BLOCK = 50


@dataclass(frozen=True)
class ImagingTruth:
    """The truth of the simulated two-photon movie.

    Attributes
    ----------
    masks : ndarray, bool, shape (n_cells, height, width)
        Pixels in which a cell's footprint is above a quarter of its maximum, without motion.
    footprints : ndarray, float32, shape (n_cells, height, width)
        Each cell's brightness by pixel (maximum 1).
    traces : ndarray, float32, shape (n_cells, n_frames)
        Each cell's fluorescence in photons at the footprint's maximum, without noise or neuropil.
    spike_counts : ndarray, uint8, shape (n_cells, n_frames)
        Spikes in each frame.
    shifts : ndarray, float64, shape (n_frames, 2)
        Displacement (y, x) of the image content in pixels, subpixel, positive down and right: the sign of
        suite2p's ``yoff`` and ``xoff``.
    frame_times : ndarray, float64, shape (n_frames,)
        Start of each frame in seconds, in the reference clock.
    rate : float
        Frames per second, in Hz.
    tau_s : float
        Decay time of the calcium indicator in seconds.
    """

    masks: NDArray[np.bool_]
    footprints: NDArray[np.float32]
    traces: NDArray[np.float32]
    spike_counts: NDArray[np.uint8]
    shifts: Floats
    frame_times: Floats
    rate: float
    tau_s: float


def write_imaging(
    path: Path, rng: np.random.Generator, scale: Scale, *, start_time: datetime, offset_s: float
) -> ImagingTruth:
    """Write a planar one-channel ScanImage BigTIFF.

    Cells are disks with a dim nucleus, their calcium is a Poisson train convolved with an exponential
    (:data:`TAU_S`); neuropil is three smooth fields with slow time courses. The scene moves rigidly by
    subpixel shifts (bilinear interpolation), then photons are drawn (Poisson) and digitised.

    Parameters
    ----------
    path : Path
        The .tif file to write.
    rng : numpy.random.Generator
        Source of all randomness.
    scale : Scale
        Image size, cells, duration.
    start_time : datetime
        Start of the scanner in local time: the ``epoch`` of the frames.
    offset_s : float
        Time of the first frame in the reference clock.
    """
    n_frames = int((scale.duration_s - 1.0) * RATE_HZ)
    footprints = _draw_footprints(rng, scale)
    height, width = scale.frame_shape
    inner = (slice(None), slice(_MARGIN, _MARGIN + height), slice(_MARGIN, _MARGIN + width))
    counts = rng.poisson(SPIKE_RATE_HZ / RATE_HZ, (scale.n_cells, n_frames)).astype(np.uint8)
    counts[:, :2] = 0
    traces = _simulate_calcium(rng, counts)
    shifts = _draw_motion(rng, n_frames)
    movie = _render_movie(rng, footprints, traces, shifts, scale.frame_shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_scanimage(path, movie, scale.frame_shape, start_time)
    return ImagingTruth(
        masks=footprints[inner] > 0.25,
        footprints=footprints[inner].copy(),
        traces=traces,
        spike_counts=counts,
        shifts=shifts,
        frame_times=np.arange(n_frames) / RATE_HZ + offset_s,
        rate=RATE_HZ,
        tau_s=TAU_S,
    )


def _draw_footprints(rng: np.random.Generator, scale: Scale) -> NDArray[np.float32]:
    """Draw the brightness of each cell, on a canvas `_MARGIN` pixels larger than the image on each side."""
    height, width = scale.frame_shape
    yy, xx = np.mgrid[0 : height + 2 * _MARGIN, 0 : width + 2 * _MARGIN].astype(np.float64)
    cells: list[NDArray[np.float32]] = []
    for y, x in _draw_centers(rng, scale):
        radius = rng.uniform(*CELL_RADIUS)
        stretch, angle = rng.uniform(0.88, 1.12), rng.uniform(0.0, np.pi)
        dy, dx = yy - _MARGIN - y, xx - _MARGIN - x
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = -dx * np.sin(angle) + dy * np.cos(angle)
        distance = np.hypot(along * stretch, across / stretch)
        # A soft edge of about a pixel: the point spread of the microscope.
        disk = 0.5 - 0.5 * np.tanh((distance - radius) / 0.9)
        nucleus = 0.35 * np.exp(-((distance / (0.42 * radius)) ** 2))
        cell = disk * (1.0 - nucleus)
        cell[cell < 0.01] = 0.0
        cells.append((cell / cell.max()).astype(np.float32))
    return np.stack(cells)


def _draw_centers(rng: np.random.Generator, scale: Scale) -> list[tuple[float, float]]:
    """Draw centers at least 14 pixels apart and 13 from the border (so that motion moves no cell out)."""
    height, width = scale.frame_shape
    border, apart = 13.0, 14.0
    centers: list[tuple[float, float]] = []
    for _ in range(200_000):
        y, x = float(rng.uniform(border, height - border)), float(rng.uniform(border, width - border))
        if all(np.hypot(y - y0, x - x0) >= apart for y0, x0 in centers):
            centers.append((y, x))
            if len(centers) == scale.n_cells:
                return centers
    raise RuntimeError(f"{scale.n_cells} cells do not fit an image of {height} x {width} pixels")


def _simulate_calcium(rng: np.random.Generator, counts: NDArray[np.uint8]) -> NDArray[np.float32]:
    decay = np.exp(-1.0 / (TAU_S * RATE_HZ))
    calcium = np.zeros(counts.shape)
    for frame in range(1, counts.shape[1]):
        calcium[:, frame] = decay * calcium[:, frame - 1] + counts[:, frame]
    resting = rng.uniform(8.0, 12.0, (len(counts), 1))
    # dF/F of one spike: strong, as in a bright preparation, so that every cell can be found.
    jump = rng.uniform(1.5, 2.2, (len(counts), 1))
    return np.asarray(resting * (1.0 + jump * calcium), dtype=np.float32)


def _draw_motion(rng: np.random.Generator, n_frames: int) -> Floats:
    """Draw slow drift and jitter, in pixels: smooth noise of 2 s and of 0.2 s."""
    slow = smooth_noise(rng, (n_frames, 2), (2.0 * RATE_HZ, 0.0))
    fast = smooth_noise(rng, (n_frames, 2), (0.2 * RATE_HZ, 0.0))
    return np.clip(1.1 * slow + 0.6 * fast, -MAX_SHIFT, MAX_SHIFT)


def _render_movie(
    rng: np.random.Generator,
    footprints: NDArray[np.float32],
    traces: NDArray[np.float32],
    shifts: Floats,
    shape: tuple[int, int],
) -> Iterator[NDArray[np.int16]]:
    """Yield frames one at a time, so that the complete movie is never in memory."""
    canvas = footprints.shape[1:]
    n_frames = traces.shape[1]
    texture = 1.0 + 0.22 * np.clip(smooth_noise(rng, canvas, 2.5), -2.5, 2.5)
    base = (BASELINE_PHOTONS * texture).astype(np.float32)
    fields = np.stack([1.0 + 0.5 * np.clip(smooth_noise(rng, canvas, 30.0), -2, 2) for _ in range(3)])
    courses = 1.0 * np.abs(smooth_noise(rng, (3, n_frames), (0.0, 0.5 * RATE_HZ)))
    spatial = np.concatenate([footprints, fields.astype(np.float32)]).reshape(-1, canvas[0] * canvas[1])
    temporal = np.concatenate([traces, courses.astype(np.float32)])
    for start in range(0, n_frames, _BLOCK):
        block = temporal[:, start : start + _BLOCK].T @ spatial
        for offset, activity in enumerate(block):
            scene = base + activity.reshape(canvas)
            photons = rng.poisson(_shift_scene(scene, shifts[start + offset], shape))
            signal = photons * PHOTON_GAIN + rng.normal(DIGITIZER_OFFSET, READ_NOISE, shape)
            yield np.clip(np.rint(signal), -32768, 32767).astype(np.int16)


def _shift_scene(scene: NDArray[np.float32], shift: Floats, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the image of a scene moved by `shift` (y, x): bilinear, cut to `shape`."""
    height, width = shape
    y, x = _MARGIN - float(shift[0]), _MARGIN - float(shift[1])
    y0, x0 = int(np.floor(y)), int(np.floor(x))
    fy, fx = np.float32(y - y0), np.float32(x - x0)
    rows = scene[y0 : y0 + height] * (1 - fy) + scene[y0 + 1 : y0 + 1 + height] * fy
    return np.asarray(rows[:, x0 : x0 + width] * (1 - fx) + rows[:, x0 + 1 : x0 + 1 + width] * fx)


def _write_scanimage(
    path: Path, frames: Iterator[NDArray[np.int16]], shape: tuple[int, int], start_time: datetime
) -> None:
    """Write a BigTIFF with ScanImage's header block behind the TIFF header, and its tags in every frame."""
    tifffile: Any = require("tifffile", "tifffile")
    text, rois = _format_header(shape), _format_roi_groups(shape)
    seconds = start_time.second + start_time.microsecond * 1e-6
    epoch = f"{start_time:%Y} {start_time.month} {start_time.day} {start_time.hour} {start_time.minute} {seconds:.3f}"
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        file = tif.filehandle
        file.seek(16)
        first, second = text.encode() + b"\0", rois.encode() + b"\0"
        # Magic number and version 4 of the block: ScanImage 2016 and later.
        file.write(struct.pack("<IIII", 0x07030301, 4, len(first), len(second)) + first + second + b"\0" * 16)
        for number, frame in enumerate(frames, start=1):
            description = (
                f"frameNumbers = {number}\n"
                "acquisitionNumbers = 1\n"
                f"frameNumberAcquisition = {number}\n"
                f"frameTimestamps_sec = {(number - 1) / RATE_HZ:.9f}\n"
                f"epoch = [{epoch}]\n"
            )
            tif.write(
                frame,
                contiguous=False,
                metadata=None,
                photometric="minisblack",
                software=text,
                description=description,
                extratags=[(315, 2, 0, rois, True)],
            )


def _format_header(shape: tuple[int, int]) -> str:
    height, width = shape
    entries = {
        "SI.LINE_FORMAT_VERSION": 1,
        "SI.VERSION_MAJOR": 2022,
        "SI.VERSION_MINOR": 1,
        "SI.VERSION_UPDATE": 0,
        "SI.acqState": "'grab'",
        "SI.hChannels.channelName": "{'Channel 1'}",
        "SI.hChannels.channelSave": 1,
        "SI.hChannels.channelsActive": 1,
        "SI.hRoiManager.linePeriod": f"{1 / (RATE_HZ * height * _LINE_OVERHEAD):.9g}",
        "SI.hRoiManager.linesPerFrame": height,
        "SI.hRoiManager.pixelsPerLine": width,
        "SI.hRoiManager.scanFrameRate": f"{RATE_HZ:g}",
        "SI.hRoiManager.scanVolumeRate": f"{RATE_HZ:g}",
        "SI.hScan2D.logFramesPerFile": "Inf",
        "SI.hStackManager.enable": "false",
        "SI.hStackManager.framesPerSlice": 1,
        "SI.hStackManager.numFramesPerVolume": 1,
        "SI.hStackManager.numFramesPerVolumeWithFlyback": 1,
        "SI.hStackManager.numSlices": 1,
        "SI.hStackManager.stackMode": "'slow'",
    }
    return "".join(f"{key} = {value}\n" for key, value in entries.items())


def _format_roi_groups(shape: tuple[int, int]) -> str:
    height, width = shape
    field = {
        "centerXY": [0.0, 0.0],
        "sizeXY": [width * UM_PER_PIXEL, height * UM_PER_PIXEL],
        "pixelResolutionXY": [width, height],
    }
    return json.dumps({"RoiGroups": {"imagingRoiGroup": {"rois": {"scanfields": field}}}})
