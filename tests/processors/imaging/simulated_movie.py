"""A small two-photon movie with known cells, activity and motion, as NWB stores it: (frames, x, y)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SimulatedMovie:
    movie: np.ndarray  # (frames, x, y) int16 or uint16
    centers: np.ndarray  # (cells, 2): x, y
    masks: np.ndarray  # (cells, x, y) bool
    traces: np.ndarray  # (frames, cells)
    shifts: np.ndarray  # (frames, 2): x, y, displacement of the content
    rate: float


def simulate_movie(frames=600, size=(120, 88), cells=12, seed=0, rate=15.0, tau=0.7) -> SimulatedMovie:
    """Cells lie in the part where x is large and y is not: a swap of the axes can't go unseen."""
    rng = np.random.default_rng(seed)
    pad = 10
    nx, ny = size
    gx, gy = np.meshgrid(np.arange(nx + 2 * pad), np.arange(ny + 2 * pad), indexing="ij")
    spots = [(x, y) for x in range(20, nx - 12, 17) for y in range(14, ny - 24, 16)]
    chosen = sorted(rng.permutation(len(spots))[:cells])
    centers = np.array([spots[i] for i in chosen]) + rng.integers(-2, 3, (cells, 2))
    masks = np.array([np.hypot(gx - pad - x, (gy - pad - y) * 1.15) <= 5.0 for x, y in centers])
    spikes = rng.random((frames, cells)) < 0.35 / rate * 1.5
    decay = np.exp(-1 / (tau * rate))
    traces = np.zeros((frames, cells))
    for t in range(frames):
        traces[t] = (traces[t - 1] * decay if t else 0) + spikes[t]
    background = (
        60 + 25 * np.sin(gx / 7.0) * np.cos(gy / 11.0) + 30 * np.exp(-((gx - 90) ** 2 + (gy - 30) ** 2) / 300)
    )
    background += rng.gamma(2.0, 6.0, background.shape)
    time = np.arange(frames) / rate
    shifts = np.stack([4 * np.sin(2 * np.pi * time / 13), 2.5 * np.sin(2 * np.pi * time / 5 + 1)], axis=1)
    shifts = np.round(shifts + rng.normal(0, 0.5, shifts.shape)).astype(int)
    neuropil = 1 + 0.05 * np.sin(2 * np.pi * time / 9)
    movie = np.empty((frames, nx, ny), np.int16)
    resting, weights = 20 * masks.sum(axis=0), masks.astype(float)
    for t in range(frames):
        scene = background * neuropil[t] + resting
        scene = scene + np.tensordot(traces[t] * 120, weights, axes=1)
        dx, dy = shifts[t]
        view = scene[pad - dx : pad - dx + nx, pad - dy : pad - dy + ny]
        movie[t] = rng.poisson(view) + rng.normal(0, 3, view.shape)
    inner = masks[:, pad : pad + nx, pad : pad + ny]
    return SimulatedMovie(movie, centers, inner, traces, shifts, rate)
