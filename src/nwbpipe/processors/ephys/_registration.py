"""Register the depths of spikes over time: how far the tissue moved along the probe.

A part of compute modules, under their rule: standard library, numpy, h5py and the tool (SpikeInterface, with scipy).

Decentralized registration after Varol et al. 2021 (ICASSP, "Decentralized motion inference and registration of
Neuropixel data") and Windolf et al. 2025 (Nature Methods, DREDge): each pair of time bins gives a displacement, the
lag at which their histograms of spike depths correlate best; the motion is what fits all pairs best. Pairs are
correlated by Fourier transforms, all pairs of one distance in time at once, so that an hour takes minutes without
torch. Far pairs are drawn at distances that grow geometrically: they keep slow errors from adding up.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, median_filter
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import spsolve

BIN_UM, BIN_S = 5.0, 1.0
WINDOW_STEP_UM, WINDOW_SCALE_UM = 400.0, 400.0
MOST_MOTION_UM = 100.0
#: All pairs of bins up to this distance are compared.
NEAR_BINS = 40
_LEAST_CORRELATION = 0.1


def register_depths(
    times_s: np.ndarray,
    depths_um: np.ndarray,
    amplitudes: np.ndarray,
    duration_s: float,
    extent_um: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate the displacement of the tissue from the depths of its spikes.

    Parameters
    ----------
    times_s, depths_um, amplitudes : ndarray, float64, shape (spikes,)
        Time from the first sample, position along the probe, size.
    duration_s : float
    extent_um : tuple of float
        Lowest and highest contact.

    Returns
    -------
    displacement : ndarray, float64, shape (bins, windows)
        Micrometers; 0 is the median over time. A positive value is a move towards larger depths.
    bins : ndarray, float64, shape (bins,)
        Centres of the time bins in seconds.
    windows : ndarray, float64, shape (windows,)
        Centres of the depth windows in micrometers.
    """
    low, high = extent_um[0] - 40.0, extent_um[1] + 40.0
    steps = max(2, int(np.ceil(duration_s / BIN_S)))
    edges_s = np.linspace(0.0, duration_s, steps + 1)
    edges_um = np.arange(low, high + BIN_UM, BIN_UM)
    # Large spikes are located best; the logarithm keeps the largest from being all there is.
    weights = np.log1p(np.abs(amplitudes) / max(1e-9, float(np.median(np.abs(amplitudes)))))
    raster = np.histogram2d(times_s, depths_um, bins=(edges_s, edges_um), weights=weights)[0]
    raster = gaussian_filter(raster, (0.5, 1.0))
    depth = (edges_um[1:] + edges_um[:-1]) / 2
    span = extent_um[1] - extent_um[0]
    count = max(1, round(span / WINDOW_STEP_UM))
    centres = extent_um[0] + span * (np.arange(count) + 0.5) / count
    columns = []
    for centre in centres:
        window = np.ones_like(depth) if count == 1 else np.exp(-0.5 * ((depth - centre) / (WINDOW_SCALE_UM / 2)) ** 2)
        columns.append(_register_window(raster, window))
    # A single bin that stands out is one whose few spikes fit a wrong lag; jumps and slow drift stay.
    displacement = median_filter(np.column_stack(columns), size=(min(3, steps), 1), mode="nearest")
    return displacement - np.median(displacement, axis=0), (edges_s[1:] + edges_s[:-1]) / 2, centres


def _register_window(raster: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return the displacement of each time bin, as the rows of `raster` within a window tell."""
    inside = np.flatnonzero(window > 0.01)
    part = raster[:, inside[0] : inside[-1] + 1]
    weights = window[inside[0] : inside[-1] + 1]
    part = (part - part.mean(axis=1, keepdims=True)) * np.sqrt(weights)
    norm = np.sqrt(np.sum(part**2, axis=1))
    part = part / np.where(norm > 0, norm, 1.0)[:, None]
    lags = min(part.shape[1] // 2, int(MOST_MOTION_UM / BIN_UM))
    size = 1 << int(np.ceil(np.log2(part.shape[1] + lags + 1)))
    spectra = np.fft.rfft(part, size, axis=1)
    steps = len(part)
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    moves: list[np.ndarray] = []
    quality: list[np.ndarray] = []
    for distance in _distances(steps):
        earlier = np.arange(steps - distance)
        product = np.conj(spectra[earlier]) * spectra[earlier + distance]
        correlation = np.fft.irfft(product, size, axis=1)
        correlation = np.concatenate([correlation[:, -lags:], correlation[:, : lags + 1]], axis=1)
        move, peak = _find_peak(correlation)
        first.append(earlier)
        second.append(earlier + distance)
        moves.append((move - lags) * BIN_UM)
        quality.append(peak)
    pairs = [np.concatenate(values) for values in (first, second, moves, quality)]
    return _solve(steps, pairs[0], pairs[1], pairs[2], pairs[3])


def _distances(steps: int) -> list[int]:
    near = list(range(1, min(NEAR_BINS, steps - 1) + 1))
    far, distance = [], NEAR_BINS * 1.25
    while distance < steps - 1:
        far.append(int(distance))
        distance *= 1.25
    return near + far


def _find_peak(correlation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return place and height of each row's maximum; a parabola through three points gives parts of a step."""
    rows = np.arange(len(correlation))
    best = np.argmax(correlation, axis=1)
    inner = np.clip(best, 1, correlation.shape[1] - 2)
    lower, middle, upper = (correlation[rows, inner + step] for step in (-1, 0, 1))
    curve = lower - 2 * middle + upper
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(curve < 0, 0.5 * (lower - upper) / curve, 0.0)
    return inner + np.clip(part, -1.0, 1.0), correlation[rows, best]


def _solve(
    steps: int, first: np.ndarray, second: np.ndarray, moves: np.ndarray, quality: np.ndarray, rounds: int = 6
) -> np.ndarray:
    """Return the displacements whose differences fit the pairs best; pairs that don't fit the others lose weight."""
    base = np.where(quality > _LEAST_CORRELATION, quality, 0.0)
    weights, solution = base, np.zeros(steps)
    # Bins without spikes have no pairs: they follow their neighbours.
    smooth = diags([np.ones(steps), -np.ones(steps - 1)], [0, 1], shape=(steps - 1, steps))
    prior: object | None = 1e-2 * (smooth.T @ smooth) + 1e-6 * diags([np.ones(steps)], [0])
    for _ in range(rounds):
        pairs = len(first)
        rows = np.arange(pairs)
        matrix = coo_matrix(
            (np.r_[-np.ones(pairs), np.ones(pairs)], (np.r_[rows, rows], np.r_[first, second])), (pairs, steps)
        ).tocsr()
        weighted = matrix.T @ diags([weights], [0])
        solution = np.asarray(spsolve((weighted @ matrix + prior).tocsc(), weighted @ moves))
        residual = np.abs(moves - (solution[second] - solution[first]))
        weights = base / (1.0 + (residual / BIN_UM) ** 2)
    return solution
