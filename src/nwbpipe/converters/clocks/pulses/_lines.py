"""Fit lines and broken lines between two clocks to pairs of pulses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

MAX_PIECES = 64
PER_PIECE = 20  # pulses, at the fewest
_BLOCKS = 2048  # of pulses, where there are many
_GAIN = 0.06  # the share of the squared residuals that a broken line has to explain


def subsample(values: Times, count: int = 100_000) -> Times:
    """Return every n-th value, about `count` in all: quantiles of millions need not be exact."""
    return values[:: max(1, len(values) // count)]


@dataclass(frozen=True)
class LinearMap:
    """An affine map from a clock to the reference.

    Kept about a centre: a clock that counts seconds since 1970 would lose its microseconds in an offset at 0.

    Attributes
    ----------
    centre, at : float
        A time of the clock, and the time of the reference then, in seconds.
    drift : float
        Rate of the reference over that of the clock, minus 1: 1e-6 is one part per million.
    """

    centre: float
    at: float
    drift: float

    def __call__(self, times: Times) -> Times:
        """Carry times of the clock (seconds) to the reference."""
        return self.at + (times - self.centre) * (1.0 + self.drift)

    @property
    def offset_s(self) -> float:
        """Reference time when the clock says 0, in seconds."""
        return self.at - self.centre * (1.0 + self.drift)


@dataclass(frozen=True)
class LineFit:
    """A line through pairs, with its uncertainty.

    Attributes
    ----------
    line : LinearMap
        Its centre is the pairs' mean, where offset and drift are independent of each other.
    sigma : float
        Standard deviation of the residuals, in seconds.
    drift_error : float
        Standard error of the drift.
    count : int
        Pairs that were used.
    """

    line: LinearMap
    sigma: float
    drift_error: float
    count: int


def fit_line(x: Times, y: Times, known_drift: float | None = None) -> LineFit:
    """Fit a line by least squares.

    Parameters
    ----------
    x, y : array of float64, shape (n,)
        Times of the clock and of the reference, in seconds; n ≥ 1.
    known_drift : float, optional
        Fit the offset only.
    """
    centre = float(x.mean())
    u = x - centre
    z = y - x
    middle = float(z.mean())
    z = z - middle
    spread = float(u @ u)
    if known_drift is not None or spread == 0.0 or len(x) < 3:
        drift, free = known_drift or 0.0, 1
        error = np.inf if known_drift is None else 0.0
    else:
        drift, free, error = float(u @ z) / spread, 2, 0.0
    residual = z - drift * u
    sigma = float(np.sqrt(residual @ residual / max(len(x) - free, 1)))
    if free == 2:
        error = sigma / np.sqrt(spread)
    return LineFit(LinearMap(centre, centre + middle, drift), sigma, float(error), len(x))


@dataclass(frozen=True)
class PiecewiseMap:
    """A broken line from a clock to the reference: straight between its knots and beyond the outer ones.

    Attributes
    ----------
    source, reference : array of float64, shape (n_pieces + 1,)
        Its knots on either clock, in seconds.
    """

    source: Times
    reference: Times

    def __call__(self, times: Times) -> Times:
        """Carry times of the clock (seconds) to the reference."""
        times = np.asarray(times, dtype=np.float64)
        # Differences are interpolated, not the times: they are small, and keep their digits.
        result = times + np.interp(times, self.source, self.reference - self.source)
        for outside, knot, inner in ((times < self.source[0], 0, 1), (times > self.source[-1], -1, -2)):
            if outside.any():
                run = (self.reference[knot] - self.reference[inner]) / (self.source[knot] - self.source[inner])
                result[outside] = self.reference[knot] + (times[outside] - self.source[knot]) * run
        return result

    @property
    def drifts(self) -> Times:
        """Drift of each piece."""
        return np.asarray(np.diff(self.reference - self.source) / np.diff(self.source))


def fit_pieces(x: Times, y: Times, line: LinearMap) -> PiecewiseMap | None:
    """Fit a broken line where the residuals of a straight one ask for it.

    Knots are evenly spaced; their number is the one with the smallest BIC. None where a straight line is as good:
    if the broken line explains less than 6 % of the squared residuals, or has a knot without pulses around it.

    Parameters
    ----------
    x, y : array of float64, shape (n,)
        Times of the clock, increasing, and of the reference, in seconds.
    line : LinearMap
        The straight line's fit.
    """
    residual = y - line(x)
    total = float(residual @ residual)
    count = len(x)
    best, best_score = None, count * np.log(max(total / count, 1e-30)) + 2 * np.log(count) - 10.0
    weight = np.ones(count)
    if count > 2 * _BLOCKS:  # means of blocks are enough for a broken line of few pieces
        edges = np.linspace(0, count, _BLOCKS + 1).astype(np.int64)[:-1]
        weight = np.diff(np.append(edges, count)).astype(np.float64)
        x, residual = np.add.reduceat(x, edges) / weight, np.add.reduceat(residual, edges) / weight
    within = total - float(weight @ residual**2)
    pieces = 2
    while pieces <= MAX_PIECES and count >= PER_PIECE * pieces:
        solution = _solve_knots(x, residual, weight, pieces)
        if solution is not None:
            knots, values, remainder = solution
            error = within + remainder
            score = count * np.log(max(error / count, 1e-30)) + (pieces + 1) * np.log(count)
            if score < best_score and error < (1.0 - _GAIN) * total:
                best, best_score = PiecewiseMap(knots, line(knots) + values), score
        pieces *= 2
    return best


def _solve_knots(x: Times, residual: Times, weight: Times, pieces: int) -> tuple[Times, Times, float] | None:
    """Find the values at knots by least squares; the normal equations are tridiagonal, and small."""
    knots = np.linspace(x[0], x[-1], pieces + 1)
    position = (x - x[0]) / (x[-1] - x[0]) * pieces
    piece = np.minimum(position.astype(np.int64), pieces - 1)
    if np.bincount(piece, minlength=pieces).min() < 3:
        return None
    share = position - piece
    size = pieces + 1
    diagonal = np.bincount(piece, weight * (1 - share) ** 2, size) + np.bincount(piece + 1, weight * share**2, size)
    beside = np.bincount(piece, weight * share * (1 - share), size)[:pieces]
    pull = weight * residual
    target = np.bincount(piece, pull * (1 - share), size) + np.bincount(piece + 1, pull * share, size)
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    try:
        values = np.linalg.solve(matrix, target)
    except np.linalg.LinAlgError:
        return None
    remainder = residual - (values[piece] * (1 - share) + values[piece + 1] * share)
    return knots, values, float(weight @ remainder**2)
