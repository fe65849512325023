"""Propose lags that could carry one pulse train onto another, by cross-correlation over lag and drift.

A snippet of the source, short enough for the largest drift to stay within a bin, is correlated with the whole
reference by FFT, a part of the reference at a time: the work is near-linear in the number of pulses, and the memory
bounded. The lags are only proposed here; `evaluate_line` decides by all the pulses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nwbpipe.converters.clocks.pulses._lines import LinearMap, Times, subsample

SNIPPET = 256  # pulses
PEAKS = 12
_BIN = 0.15  # of a small interval; jitter may be 0.1 of the smallest
_LONG, _BIN_LONG = 100_000, 0.25  # of a train so long, coarser
_BINS_PER_PULSE = 64
_TILE = 8  # bins
_BLOCK = 12  # FFTs have 2**_BLOCK bins or more


@dataclass(frozen=True)
class Snippet:
    """A run of the source's pulses: those from `first` up to `stop`."""

    first: int
    stop: int


def choose_snippets(source: Times) -> list[Snippet]:
    """Choose the runs of pulses to search with: those with the most telling intervals, far from each other.

    A run of even intervals fits everywhere; one with gaps, or with intervals that differ, does not.
    """
    count = len(source)
    if count <= SNIPPET:
        return [Snippet(0, count)]
    intervals = np.diff(source)
    typical = float(np.median(subsample(intervals)))
    starts = np.linspace(0, count - SNIPPET, 64).astype(np.int64)
    gaps = np.flatnonzero(intervals > 3 * typical)
    if len(gaps):
        around = gaps[np.linspace(0, len(gaps) - 1, min(len(gaps), 64)).astype(np.int64)] - SNIPPET // 2
        starts = np.concatenate([starts, np.clip(around, 0, count - SNIPPET)])
    starts = np.unique(starts)
    # How unusual intervals are, bounded: one long gap must not outweigh a hundred uneven intervals.
    within = intervals[starts[:, None] + np.arange(SNIPPET - 1)]
    unevenness = np.minimum(np.abs(within - typical) / (0.1 * typical), 5.0).sum(axis=1)
    chosen: list[int] = []
    for index in np.argsort(-unevenness, kind="stable"):
        if all(abs(int(starts[index]) - earlier) >= count // 5 for earlier in chosen):
            chosen.append(int(starts[index]))
        if len(chosen) == 3:
            break
    return [Snippet(start, start + SNIPPET) for start in chosen]


def propose(
    source: Times, reference: Times, snippet: Snippet, max_drift: float, near: tuple[float, float] | None
) -> tuple[list[LinearMap], float]:
    """Propose the lines that carry a snippet of the source onto the reference.

    Parameters
    ----------
    source, reference : array of float64
        Times of the pulses in seconds, increasing.
    snippet : Snippet
        The run of the source's pulses to use.
    max_drift : float
        The largest drift.
    near : (float, float), optional
        Earliest and latest time of the snippet's first pulse on the reference, in seconds.

    Returns
    -------
    list of LinearMap
        The likeliest first, at most `PEAKS`.
    float
        Width of a bin, in seconds: the lines may be off by so much.
    """
    part = source[snippet.first : snippet.stop]
    centre = 0.5 * float(part[0] + part[-1])
    span = float(part[-1] - part[0])
    if near is not None:
        slack = max_drift * span
        inside = (reference >= near[0] - slack - span * 0.02) & (
            reference <= near[1] + span * (1 + max_drift) + slack
        )
        reference = reference[inside]
        if not len(reference):
            return [], 0.0
    bins = _bin_width(part, reference)
    grid = max(1, int(np.ceil(max_drift * span / bins)))
    drifts = (np.arange(grid) + 0.5) / grid * 2 * max_drift - max_drift if max_drift else np.zeros(1)
    peaks = [
        (score, start, float(drifts[number]))
        for score, start, number in _find_peaks(
            [(part - part[0]) * (1.0 + drift) for drift in drifts], reference, bins
        )
        if near is None or near[0] - 2 * bins <= start <= near[1] + 2 * bins
    ]
    peaks.sort(reverse=True)
    distinct: list[tuple[float, float, float]] = []
    for peak in peaks:
        if all(abs(peak[1] - larger[1]) > 2.5 * bins for larger in distinct):
            distinct.append(peak)
        if len(distinct) == PEAKS:
            break
    half = centre - float(part[0])
    return [LinearMap(centre, start + half * (1.0 + drift), drift) for _, start, drift in distinct], bins


def _bin_width(part: Times, reference: Times) -> float:
    small = float(np.quantile(np.diff(part), 0.25))
    span = float(reference[-1] - reference[0]) + float(part[-1] - part[0])
    share = _BIN if len(reference) < _LONG else _BIN_LONG
    return max(share * small, span / (_BINS_PER_PULSE * (len(reference) + len(part))), 1e-9)


def _find_peaks(parts: list[Times], reference: Times, bins: float) -> Iterator[tuple[float, float, int]]:
    """Yield the best lags of each block: score, time of the first pulse on the reference, number of the part."""
    positions = [np.rint(part / bins).astype(np.int64) for part in parts]
    reach = max(int(position[-1]) for position in positions) + 1
    total = int((reference[-1] - reference[0]) / bins) + 2 + 2 * reach
    block = 1 << max(_BLOCK if len(reference) < _LONG else _BLOCK + 4, int(np.ceil(np.log2(4 * reach))))
    block = min(block, 1 << int(np.ceil(np.log2(total + reach))))
    step = block - reach
    spectra = []
    for position in positions:
        pattern = np.zeros(block, dtype=np.float32)
        pattern[position] = 1.0
        spectra.append(np.conj(np.fft.rfft(pattern)))
    origin = float(reference[0]) - reach * bins  # lags at which only the snippet's last pulse meets the reference
    chance = _chance_of_pulse(reference, bins)
    for first in range(0, total - reach, step):
        start = origin + first * bins
        low, high = np.searchsorted(reference, [start - bins, start + (block + 1) * bins])
        if low == high:
            continue
        busy = np.fft.rfft(_mark_bins(reference[low:high], start, bins, block))
        lags = start + np.arange(step, dtype=np.float64) * bins
        for number, (part, spectrum) in enumerate(zip(parts, spectra, strict=True)):
            hits = np.fft.irfft(busy * spectrum, block)[:step]
            expected = chance * _count_overlap(part, reference, lags, bins)
            scale = np.sqrt(expected * (1.0 - chance) + 1.0)
            score = (hits - expected) / scale if np.ndim(expected) else hits
            for index in _find_maxima(score, PEAKS):
                value = float(score[index]) if np.ndim(expected) else float((hits[index] - expected) / scale)
                yield value, float(lags[index]), number


def _mark_bins(reference: Times, start: float, bins: float, count: int) -> npt.NDArray[np.float32]:
    """Mark the bins of the pulses, and those beside them."""
    positions = np.rint((reference - start) / bins).astype(np.int64)
    busy = np.zeros(count + 4, dtype=np.float32)
    positions = positions[(positions >= -1) & (positions <= count)] + 2
    for beside in (-1, 0, 1):
        busy[positions + beside] = 1.0
    return busy[2 : count + 2]


def _count_overlap(part: Times, reference: Times, lags: Times, bins: float) -> Times | float:
    """Count the snippet's pulses that fall into the reference's span, for each lag."""
    if lags[0] >= reference[0] and lags[-1] + part[-1] <= reference[-1]:
        return float(len(part))
    inside = np.searchsorted(part, reference[-1] - lags + bins, "right") - np.searchsorted(
        part, reference[0] - lags - bins
    )
    return np.asarray(inside, dtype=np.float64)


def _find_maxima(score: Times, count: int) -> list[int]:
    """Find the largest local maxima."""
    if len(score) > _TILE * 1000:  # the largest of each few bins: so few lie between rivals of a long train
        tiles = score[: len(score) // _TILE * _TILE].reshape(-1, _TILE)
        top = tiles.argmax(axis=1) + np.arange(len(tiles)) * _TILE
    elif len(score) > 2:
        top = np.flatnonzero((score[1:-1] >= score[:-2]) & (score[1:-1] >= score[2:])) + 1
    else:
        top = np.arange(len(score))
    if len(top) > 3 * count:
        top = top[np.argpartition(-score[top], 3 * count)[: 3 * count]]
    maxima: list[int] = []
    for index in top[np.argsort(-score[top], kind="stable")]:
        if all(abs(int(index) - larger) > 2 for larger in maxima):
            maxima.append(int(index))
        if len(maxima) == count:
            break
    return maxima


def _chance_of_pulse(reference: Times, bins: float) -> float:
    """Return the share of the time that lies within 1.5 bins of a pulse."""
    span = float(reference[-1] - reference[0]) + 3 * bins
    covered = float(np.minimum(np.diff(reference), 3 * bins).sum()) + 3 * bins
    return float(np.clip(covered / span, 1e-6, 0.98))
