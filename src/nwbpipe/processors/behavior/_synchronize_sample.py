"""Read samples at the times of a grid (part of a compute module: see `nwbpipe.processors`)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

#: Half-width of the low-pass kernel, in intervals of the grid: with Hamming's window the transition is then 0.2 of
#: the grid's rate wide, and what lies above its half is damped by 50 dB and more.
KERNEL_STEPS = 8
_ROWS = 8  # at once: of more, most weights were 0
_TABLE = 1 << 16  # entries of the kernel's table: a weight is right to 0.0002
_EVEN = 1e-4  # of the kernel's half-width: a smaller mean lag needs no correction


def sample_at(
    times: np.ndarray, values: np.ndarray, at: np.ndarray, method: str, max_gap: float, slack: float
) -> np.ndarray:
    """Read a series at the times of the grid.

    Parameters
    ----------
    times : ndarray of float64, shape (n_samples,)
        Times of the samples in seconds; they increase.
    values : ndarray of float64, shape (n_samples, n_columns)
        A sample that is not finite counts as missing in its column.
    at : ndarray of float64, shape (n_times,)
        Times of the grid.
    method : {"linear", "nearest", "previous"}
        ``linear`` between samples at most `max_gap` apart; ``nearest`` of a sample at most half of it away;
        ``previous`` of a sample at most as long ago.
    max_gap : float
        In seconds.
    slack : float
        In seconds; a sample that is no farther off is at the time itself.

    Returns
    -------
    ndarray of float64, shape (n_times, n_columns)
        NaN where the series has no data.
    """
    finite = np.isfinite(values)
    if finite.all():
        return _sample(times, values, at, method, max_gap, slack)
    out = np.full((at.size, values.shape[1]), np.nan)
    for columns in _group_columns(finite):
        present = finite[:, columns[0]]
        if present.any():
            out[:, columns] = _sample(times[present], values[present][:, columns], at, method, max_gap, slack)
    return out


def _group_columns(finite: np.ndarray) -> list[list[int]]:
    """Return the columns whose samples are missing together, as x and y of a keypoint are."""
    if finite.all():
        return [list(range(finite.shape[1]))]
    groups: dict[bytes, list[int]] = {}
    for column in range(finite.shape[1]):
        groups.setdefault(finite[:, column].tobytes(), []).append(column)
    return list(groups.values())


def _sample(
    times: np.ndarray, values: np.ndarray, at: np.ndarray, method: str, max_gap: float, slack: float
) -> np.ndarray:
    last = times.size - 1
    upper = np.clip(np.searchsorted(times, at - slack), 0, last)
    exact = np.abs(times[upper] - at) <= slack
    lower = np.where(exact, upper, np.clip(np.searchsorted(times, at - slack) - 1, 0, last))
    since, until = at - times[lower], times[upper] - at
    if method == "linear":
        span = times[upper] - times[lower]
        inside = (since >= 0) & (until >= 0) & (span <= max_gap + slack)
        weight = np.where(span > 0, since / np.where(span > 0, span, 1.0), 0.0)[:, None]
        sampled = values[lower] * (1 - weight) + values[upper] * weight
    elif method == "nearest":
        nearer = np.where(np.abs(until) < np.abs(since), upper, lower)
        inside = np.abs(times[nearer] - at) <= max_gap / 2 + slack
        sampled = values[nearer]
    else:
        inside = (since >= 0) & (since <= max_gap + slack)
        sampled = values[lower]
    return np.where((exact | inside)[:, None], np.where(exact[:, None], values[upper], sampled), np.nan)


def low_pass_at(
    times: np.ndarray, values: np.ndarray, at: np.ndarray, cutoff_hz: float, half_width: float, max_gap: float,
    step: float, slack: float,
) -> np.ndarray:  # fmt: skip
    """Read a series at the times of a slower grid, without what the grid can't hold.

    Each value is the mean of the samples around its time, weighted by a sinc in Hamming's window and by the time that
    each sample stands for, so that uneven samples don't matter. The kernel doesn't reach over a gap; there, and at
    the ends, it takes the samples of its own side.

    Parameters
    ----------
    times, values, at, max_gap, slack
        As in `sample_at`.
    cutoff_hz : float
        Frequency at which the amplitude is halved.
    half_width : float
        Of the kernel, in seconds.
    step : float
        Usual interval of the samples, in seconds.
    """
    out = sample_at(times, values, at, "linear", max_gap, slack)
    # Where samples are farther apart than the kernel is dense, the line between them has to do.
    dense = np.isfinite(sample_at(times, values, at, "linear", min(max_gap, 0.5 / cutoff_hz), slack))
    finite = np.isfinite(values)
    for columns in _group_columns(finite):
        present = np.flatnonzero(finite[:, columns[0]])
        if present.size:
            sums = _weigh(
                times[present], values[present][:, columns], at, cutoff_hz, half_width, max_gap, step, slack
            )
            out[:, columns] = np.where(dense[:, columns] & np.isfinite(sums), sums, out[:, columns])
    return out


def _weigh(
    times: np.ndarray, values: np.ndarray, at: np.ndarray, cutoff_hz: float, half_width: float, max_gap: float,
    step: float, slack: float,
) -> np.ndarray:  # fmt: skip
    gaps = np.diff(times)
    # A sample beside a gap stands for no more time than others: else it would outweigh all that the kernel covers.
    usual = min(max_gap, max(0.5 / cutoff_hz, 1.5 * step)) + slack
    steps = np.where(gaps > usual, step, gaps) if times.size > 1 else np.array([step])
    share = np.convolve(np.pad(steps, 1, mode="edge"), [0.5, 0.5], mode="valid")[: times.size]
    stretch = np.concatenate([[0], np.cumsum(gaps > max_gap + slack)])
    own_stretch = stretch[np.clip(np.searchsorted(times, at - slack), 0, times.size - 1)]
    out = np.full((at.size, values.shape[1]), np.nan)
    table = _tabulate_kernel(cutoff_hz * half_width)
    for row in range(0, at.size, _ROWS):
        part = at[row : row + _ROWS]
        near = slice(*np.searchsorted(times, [part[0] - half_width, part[-1] + half_width]))
        if near.start == near.stop:
            continue
        lag = times[near] - part[:, None]
        place = np.minimum(np.abs(lag) * ((table.shape[1] - 2) / half_width) + 0.5, table.shape[1] - 1).astype(
            np.int32
        )
        if own_stretch[row] != stretch[near.stop - 1] or stretch[near.start] != own_stretch[row]:
            place[stretch[near] != own_stretch[row : row + _ROWS, None]] = table.shape[1] - 1
        kernel = table[0][place] * share[near]
        total = kernel.sum(axis=1, keepdims=True)
        total = np.where(total > 0, total, np.nan)
        mean_lag = np.einsum("tk,tk->t", kernel, lag)[:, None] / total
        out[row : row + _ROWS] = kernel @ values[near] / total
        uneven = np.flatnonzero(np.abs(mean_lag[:, 0]) > _EVEN * half_width)
        if uneven.size:
            slope = _fit_slope(table[1][place[uneven]], lag[uneven], values[near])
            out[row + uneven] -= slope * mean_lag[uneven]
    return out


@lru_cache(maxsize=8)
def _tabulate_kernel(periods: float) -> np.ndarray:
    """Return the kernel and its window from the middle outwards, (2, n); the last entry is 0, for what is outside."""
    lag = np.linspace(0.0, 1.0, _TABLE)
    window = 0.54 + 0.46 * np.cos(np.pi * lag)
    curves = np.stack([np.sinc(2 * periods * lag) * window, window])
    return np.concatenate([curves, np.zeros((2, 1))], axis=1)


def _fit_slope(window: np.ndarray, lag: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the slope of the values around each time, (n_times, n_columns).

    Where samples are uneven or lie on one side, at the ends, the kernel's mean lag is not 0: the slope corrects that.
    """
    total = np.maximum(window.sum(axis=1, keepdims=True), 1e-12)
    mean = (window * lag).sum(axis=1, keepdims=True) / total
    spread = (window * (lag - mean) ** 2).sum(axis=1, keepdims=True)
    slope = (window * (lag - mean)) @ values / np.where(spread > 0, spread, np.inf)
    return np.asarray(slope)


def mean_of_bins(times: np.ndarray, values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Return the mean of the finite samples in each bin, (n_bins, n_columns); NaN where there is none."""
    finite = np.isfinite(values)
    first, last = np.searchsorted(times, bins[:, 0]), np.searchsorted(times, bins[:, 1])
    zero = np.zeros((1, values.shape[1]))
    # Sums from a value near the data's own: a large offset would cost digits.
    middle = np.where(finite, values, 0.0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    sums = np.concatenate([zero, np.cumsum(np.where(finite, values - middle, 0.0), axis=0)])
    counts = np.concatenate([zero, np.cumsum(finite, axis=0)])
    number = counts[last] - counts[first]
    return np.where(number > 0, (sums[last] - sums[first]) / np.maximum(number, 1) + middle, np.nan)


def count_in_bins(events: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Return the number of the events (times, sorted) in each bin."""
    return np.asarray(np.searchsorted(events, bins[:, 1]) - np.searchsorted(events, bins[:, 0]))
