"""Simulate a realistic calcium movie: overlapping and dim cells, dendrites, neuropil, photon noise and motion.

Arrays have NWB's order: frames are (x, y), a volume is (frames, x, y, planes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import ParameterError
from nwbpipe.simulate._common import Floats, require, smooth_noise

Kind = Literal["two_photon", "one_photon"]
#: int16 steps to one photon, the digitiser's offset, and its noise.
GAIN, OFFSET, READ_NOISE = 20.0, 100.0, 8.0
_MARGIN = 12
_BLOCK = 64


@dataclass(frozen=True)
class TwoPhotonSettings:
    """Settings of a simulated movie.

    Attributes
    ----------
    frames, size, planes, rate :
        Number of frames, pixels (x, y), planes, and frames (volumes) per second.
    cells, dim, apart :
        Cell bodies in each plane; the fraction of dim cells, with a third of the signal; the smallest distance of
        centres in pixels (radii are 4.6 to 6 pixels: below 12 cells touch, below 9 they overlap).
    dendrites :
        Thin processes in each plane, with activity of their own.
    photons :
        Mean photons of the background in a pixel and frame: 12 is good, 5 is hard.
    signal :
        dF/F of one spike, at a cell's brightest pixel.
    neuropil :
        Amplitude of the neuropil's fluctuation, as a part of the background.
    spike_rate, tau :
        Spikes per second of a cell, and the indicator's decay in seconds.
    rigid, nonrigid :
        Largest rigid displacement of a frame, and largest local displacement beyond it, in pixels.
    bleaching :
        Fraction of the brightness that is lost at the end.
    dropped :
        Number of missing frames, which leave gaps in the times.
    red :
        Fraction of the cells that a second, structural channel shows; 0: there is no second channel.
    kind :
        ``one_photon``: cells have a wide halo, over a bright, out-of-focus background.
    seed :
        Seed of all randomness.
    """

    frames: int = 1200
    size: tuple[int, int] = (256, 256)
    planes: int = 1
    rate: float = 30.0
    cells: int = 60
    dim: float = 0.0
    apart: float = 15.0
    dendrites: int = 0
    photons: float = 12.0
    signal: float = 1.5
    neuropil: float = 0.15
    spike_rate: float = 0.5
    tau: float = 0.7
    rigid: float = 4.0
    nonrigid: float = 0.0
    bleaching: float = 0.05
    dropped: int = 0
    red: float = 0.0
    kind: Kind = "two_photon"
    seed: int = 0


#: The movies with which methods are tested.
EASY = TwoPhotonSettings()
HARD = TwoPhotonSettings(
    frames=1000, cells=100, apart=11.0, photons=5.0, signal=1.2, neuropil=0.4, rigid=3.0, nonrigid=1.5, bleaching=0.2
)


@dataclass(frozen=True)
class TwoPhotonTruth:
    """The truth of a simulated movie; the ROIs of all planes are concatenated.

    Attributes
    ----------
    footprints : ndarray, float32, shape (rois, x, y)
        Brightness by pixel (maximum 1), without motion.
    masks : ndarray, bool, shape (rois, x, y)
        Pixels in which the footprint is above a quarter of its maximum.
    plane, dim, dendrite, red : ndarray, shape (rois,)
        Index of the plane; True for dim cells, for dendrites, for ROIs in the second channel.
    traces : ndarray, float32, shape (frames, rois)
        Fluorescence in photons at the footprint's maximum, without noise, neuropil and bleaching.
    spikes : ndarray, uint8, shape (frames, rois)
    shifts : ndarray, float64, shape (frames, 2)
        Displacement (x, y) of the content, mean over the frame; the same for all planes.
    blocks : ndarray, int, shape (blocks, 4)
        ``x_start, x_stop, y_start, y_stop`` of blocks of 64 pixels.
    block_shifts : ndarray, float64, shape (frames, blocks, 2)
        Displacement of each block beyond that.
    times : ndarray, float64, shape (frames,)
        In seconds; missing frames leave gaps.
    """

    footprints: NDArray[np.float32]
    masks: NDArray[np.bool_]
    plane: NDArray[np.int64]
    dim: NDArray[np.bool_]
    dendrite: NDArray[np.bool_]
    red: NDArray[np.bool_]
    traces: NDArray[np.float32]
    spikes: NDArray[np.uint8]
    shifts: Floats
    blocks: NDArray[np.int64]
    block_shifts: Floats
    times: Floats


@dataclass(frozen=True)
class _Scene:
    """The content of a plane, on a canvas `_MARGIN` pixels larger than the image on each side."""

    footprints: NDArray[np.float32]
    dim: NDArray[np.bool_]
    dendrite: NDArray[np.bool_]
    background: NDArray[np.float32]
    neuropil: NDArray[np.float32]
    courses: NDArray[np.float32]


def simulate_movie(settings: TwoPhotonSettings) -> tuple[NDArray[np.int16], NDArray[np.int16] | None, TwoPhotonTruth]:
    """Simulate a movie.

    Returns
    -------
    movie : ndarray, int16, shape (frames, x, y[, planes])
    second : ndarray, int16, of the same shape, or None
        The structural channel.
    truth : TwoPhotonTruth

    Raises
    ------
    ParameterError
        The cells don't fit into the frame.
    """
    rng = np.random.default_rng(settings.seed)
    motion = _Motion.draw(rng, settings)
    scenes = [_draw_scene(rng, settings) for _ in range(settings.planes)]
    activity = [_simulate_activity(rng, settings, scene) for scene in scenes]
    reds = [(rng.random(len(scene.dim)) < settings.red) & ~scene.dendrite for scene in scenes]
    movies, seconds = [], []
    for scene, (_, traces), red in zip(scenes, activity, reds, strict=True):
        movies.append(_render(rng, settings, motion, _render_light(settings, scene, traces)))
        if settings.red > 0:
            marker = scene.footprints[red].sum(axis=0) * settings.photons * 1.5 + np.float32(0.3 * settings.photons)
            seconds.append(_render(rng, settings, motion, iter([marker] * settings.frames)))
    inner = (slice(None), slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN))
    footprints = np.concatenate([scene.footprints[inner] for scene in scenes])
    truth = TwoPhotonTruth(
        footprints=footprints,
        masks=footprints > 0.25,
        plane=np.repeat(np.arange(settings.planes), [len(scene.dim) for scene in scenes]),
        dim=np.concatenate([scene.dim for scene in scenes]),
        dendrite=np.concatenate([scene.dendrite for scene in scenes]),
        red=np.concatenate(reds),
        traces=np.concatenate([traces for _, traces in activity], axis=1),
        spikes=np.concatenate([spikes for spikes, _ in activity], axis=1),
        shifts=motion.rigid,
        blocks=motion.blocks,
        block_shifts=motion.compute_block_shifts(),
        times=_draw_times(rng, settings),
    )
    return _stack_planes(movies), _stack_planes(seconds) if seconds else None, truth


def _stack_planes(planes: list[NDArray[np.int16]]) -> NDArray[np.int16]:
    return planes[0] if len(planes) == 1 else np.stack(planes, axis=3)


def _draw_times(rng: np.random.Generator, settings: TwoPhotonSettings) -> Floats:
    total = settings.frames + settings.dropped
    lost = rng.choice(np.arange(1, total - 1), settings.dropped, replace=False)
    return np.delete(np.arange(total) / settings.rate, lost)


@dataclass(frozen=True)
class _Motion:
    rigid: Floats  # (frames, 2)
    fields: Floats  # (modes, 2, x, y) of the canvas, mean 0 within the image
    amplitudes: Floats  # (frames, modes)
    blocks: NDArray[np.int64]

    @classmethod
    def draw(cls, rng: np.random.Generator, settings: TwoPhotonSettings) -> _Motion:
        slow = smooth_noise(rng, (settings.frames, 2), (2.0 * settings.rate, 0.0))
        fast = smooth_noise(rng, (settings.frames, 2), (0.15 * settings.rate, 0.0))
        rigid = np.clip(settings.rigid * (0.35 * slow + 0.15 * fast), -settings.rigid, settings.rigid)
        nx, ny = settings.size
        canvas = (nx + 2 * _MARGIN, ny + 2 * _MARGIN)
        modes = 2 if settings.nonrigid else 0
        fields = np.zeros((modes, 2, *canvas))
        for mode in range(modes):
            for axis in range(2):
                field = smooth_noise(rng, canvas, 0.2 * min(settings.size))
                field -= field[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN].mean()
                fields[mode, axis] = field / np.abs(field).max()
        amplitudes = np.zeros((settings.frames, modes))
        if modes:
            noise = smooth_noise(rng, (settings.frames, modes), (0.7 * settings.rate, 0.0))
            amplitudes = np.clip(0.5 * noise, -1, 1) * settings.nonrigid / modes**0.5
        edges_x, edges_y = (np.append(np.arange(0, n - 32, 64), n) for n in settings.size)
        blocks = [(x0, x1, y0, y1) for x0, x1 in pairwise(edges_x) for y0, y1 in pairwise(edges_y)]
        return cls(rigid, fields, amplitudes, np.array(blocks, dtype=np.int64))

    def compute_block_shifts(self) -> Floats:
        m = _MARGIN
        means = np.array(
            [self.fields[:, :, m + x0 : m + x1, m + y0 : m + y1].mean(axis=(2, 3)) for x0, x1, y0, y1 in self.blocks]
        ).reshape(len(self.blocks), len(self.fields), 2)
        return np.asarray(np.einsum("tm,bmc->tbc", self.amplitudes, means))


def _draw_scene(rng: np.random.Generator, settings: TwoPhotonSettings) -> _Scene:
    nx, ny = settings.size
    canvas = (nx + 2 * _MARGIN, ny + 2 * _MARGIN)
    xx, yy = np.mgrid[0 : canvas[0], 0 : canvas[1]].astype(np.float64) - _MARGIN
    cells = [_render_soma(rng, xx - x, yy - y) for x, y in _draw_centers(rng, settings)]
    processes = [_render_dendrite(rng, settings, xx, yy) for _ in range(settings.dendrites)]
    footprints = np.stack(cells + processes).astype(np.float32)
    if settings.kind == "one_photon":
        ndimage: Any = require("scipy.ndimage", "scipy")
        footprints = np.stack([0.75 * f + 3.0 * ndimage.gaussian_filter(f, 7.0) for f in footprints])
        footprints /= footprints.max(axis=(1, 2), keepdims=True)
    texture = 1.0 + 0.25 * np.clip(smooth_noise(rng, canvas, 2.0), -2.5, 2.5)
    fields = np.stack([1.0 + 0.5 * np.clip(smooth_noise(rng, canvas, 25.0), -2, 2) for _ in range(4)])
    background = settings.photons * texture
    if settings.kind == "one_photon":  # light from out of focus, brightest in the middle
        radius = np.hypot((xx - nx / 2) / nx, (yy - ny / 2) / ny)
        background = (
            3.0 * settings.photons * np.exp(-((radius / 0.6) ** 2)) * (1 + 0.1 * (texture - 1)) + settings.photons
        )
    courses = smooth_noise(rng, (settings.frames, 4), (0.4 * settings.rate, 0.0))
    count = len(cells)
    dendrite = np.arange(count + len(processes)) >= count
    dim = (rng.random(len(dendrite)) < settings.dim) & ~dendrite
    amount = settings.neuropil * settings.photons * (2.0 if settings.kind == "one_photon" else 1.0)
    return _Scene(
        footprints=footprints.astype(np.float32),
        dim=dim,
        dendrite=dendrite,
        background=background.astype(np.float32),
        neuropil=(amount / 2 * fields).astype(np.float32),
        courses=np.abs(courses).astype(np.float32),
    )


def _render_soma(rng: np.random.Generator, dx: Floats, dy: Floats) -> Floats:
    """Render a disk with a soft edge of about a pixel and a dim nucleus."""
    radius, stretch, angle = rng.uniform(4.6, 6.0), rng.uniform(0.88, 1.12), rng.uniform(0, np.pi)
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    distance = np.hypot(along * stretch, across / stretch)
    cell = (0.5 - 0.5 * np.tanh((distance - radius) / 0.9)) * (
        1 - 0.35 * np.exp(-((distance / (0.42 * radius)) ** 2))
    )
    cell[cell < 0.01] = 0.0
    return np.asarray(cell / cell.max())


def _render_dendrite(rng: np.random.Generator, settings: TwoPhotonSettings, xx: Floats, yy: Floats) -> Floats:
    """Render a straight process, 20 to 40 pixels long and 2 wide."""
    x, y = (rng.uniform(25, size - 25) for size in settings.size)
    angle, half = rng.uniform(0, np.pi), rng.uniform(10, 20)
    along = (xx - x) * np.cos(angle) + (yy - y) * np.sin(angle)
    across = (yy - y) * np.cos(angle) - (xx - x) * np.sin(angle)
    inside = 0.5 - 0.5 * np.tanh((np.abs(along) - half) / 1.0)
    process = inside * np.exp(-0.5 * (across / 1.0) ** 2)
    process[process < 0.01] = 0.0
    return np.asarray(process / process.max())


def _draw_centers(rng: np.random.Generator, settings: TwoPhotonSettings) -> list[tuple[float, float]]:
    """Draw centers at least `apart` from each other, and 12 pixels from the border."""
    (nx, ny), border = settings.size, 12.0
    centers: list[tuple[float, float]] = []
    for _ in range(200_000):
        x, y = float(rng.uniform(border, nx - border)), float(rng.uniform(border, ny - border))
        if all(np.hypot(x - x0, y - y0) >= settings.apart for x0, y0 in centers):
            centers.append((x, y))
            if len(centers) == settings.cells:
                return centers
    msg = "the cells don't fit into the frame"
    raise ParameterError(
        msg, expected=f"room for {settings.cells} cells, {settings.apart:g} pixels apart", found=f"{nx} x {ny}"
    )


def _simulate_activity(
    rng: np.random.Generator, settings: TwoPhotonSettings, scene: _Scene
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw Poisson spikes; return them with the calcium traces in photons, which jump and decay at each spike."""
    count = len(scene.dim)
    spikes = rng.poisson(settings.spike_rate / settings.rate, (settings.frames, count)).astype(np.uint8)
    spikes[:2] = 0
    decay = np.exp(-1.0 / (settings.tau * settings.rate))
    calcium = np.zeros((settings.frames, count))
    for frame in range(1, settings.frames):
        calcium[frame] = decay * calcium[frame - 1] + spikes[frame]
    resting = settings.photons * rng.uniform(0.6, 0.9, count)
    jump = settings.signal * rng.uniform(0.8, 1.2, count) * np.where(scene.dim, 1 / 3, 1.0)
    return spikes, np.asarray(resting * (1 + jump * calcium), dtype=np.float32)


def _render_light(
    settings: TwoPhotonSettings, scene: _Scene, traces: NDArray[np.float32]
) -> Iterator[NDArray[np.float32]]:
    """Yield the scene of each frame in photons, without motion."""
    canvas = scene.background.shape
    spatial = np.concatenate([scene.footprints, scene.neuropil]).reshape(-1, canvas[0] * canvas[1])
    temporal = np.concatenate([traces, scene.courses], axis=1)
    fading = np.linspace(0, 1, settings.frames)
    bleached = ((1 - settings.bleaching) ** fading).astype(np.float32)
    for start in range(0, settings.frames, _BLOCK):
        block = temporal[start : start + _BLOCK] @ spatial
        for offset, active in enumerate(block):
            yield bleached[start + offset] * (scene.background + active.reshape(canvas))


def _render(
    rng: np.random.Generator, settings: TwoPhotonSettings, motion: _Motion, light: Iterator[NDArray[np.float32]]
) -> NDArray[np.int16]:
    """Move each scene, draw its photons, and digitise them."""
    ndimage: Any = require("scipy.ndimage", "scipy")
    nx, ny = settings.size
    movie = np.empty((settings.frames, nx, ny), np.int16)
    xx, yy = np.mgrid[_MARGIN : _MARGIN + nx, _MARGIN : _MARGIN + ny].astype(np.float64)
    inner = (slice(None), slice(None), slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN))
    fields = motion.fields[inner]
    for frame, scene in enumerate(light):
        dx, dy = motion.rigid[frame]
        local = np.tensordot(motion.amplitudes[frame], fields, axes=1) if len(fields) else np.zeros((2, 1, 1))
        coordinates = np.stack(np.broadcast_arrays(xx - dx - local[0], yy - dy - local[1]))
        photons = rng.poisson(np.maximum(ndimage.map_coordinates(scene, coordinates, order=1, mode="nearest"), 0))
        signal = photons * GAIN + rng.normal(OFFSET, READ_NOISE, (nx, ny))
        movie[frame] = np.clip(np.rint(signal), -32768, 32767)
    return movie
