"""Lay a pulse train onto another at a given lag: pair the pulses, fit the line, count the pulses left over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nwbpipe.converters.clocks.pulses._lines import (
    Index,
    LinearMap,
    LineFit,
    PiecewiseMap,
    Times,
    fit_line,
    fit_pieces,
    subsample,
)
from nwbpipe.converters.clocks.pulses._search import SNIPPET, Snippet
from nwbpipe.converters.clocks.pulses._trains import FLOOR_S, WIDTH, TrainPair, compute_support, pair_nearest

_SAMPLE = 20_000  # pulses of a long step that are followed


@dataclass(frozen=True)
class Hypothesis:
    """A lag, evaluated on all pulses.

    Attributes
    ----------
    of_source, of_reference : array of int64
        Indices of the pulses that pair, both increasing.
    fit : LineFit
        The straight line through the pairs.
    pieces : PiecewiseMap or None
        A broken line, where the residuals ask for it.
    jumps : bool
        True if the residuals ask for a broken line whose pieces drift by more than is allowed: the clock was set.
    sigma : float
        Standard deviation of the residuals to the better of the two, in seconds.
    window : float
        Largest distance of pulses that pair, in seconds.
    inside : (int, int), (int, int)
        The pulses of source and reference, first and one after the last, at times that both trains cover.
    missed, extra : int
        Pulses of the reference that the source lacks, and the other way round, among these.
    support : float
        Log-likelihood against a chance coincidence, in nats: the evidence of the intervals that agree, less that of
        the pulses without a partner.
    """

    of_source: Index
    of_reference: Index
    fit: LineFit
    pieces: PiecewiseMap | None
    jumps: bool
    sigma: float
    window: float
    inside: tuple[tuple[int, int], tuple[int, int]]
    missed: int
    extra: int
    support: float

    @property
    def mapping(self) -> LinearMap | PiecewiseMap:
        """The better of the two lines."""
        return self.fit.line if self.pieces is None else self.pieces

    @property
    def num_pairs(self) -> int:
        """Number of pairs."""
        return len(self.of_source)

    @property
    def num_unpaired(self) -> int:
        """Number of pulses without a partner where both trains were recorded."""
        return self.missed + self.extra

    @property
    def error_rate(self) -> float:
        """Share of pulses without a partner, never quite 0."""
        return (self.num_unpaired + 1) / (self.num_pairs + self.num_unpaired + 2)

    def __call__(self, times: Times) -> Times:
        """Carry times of the clock (seconds) to the reference."""
        return self.mapping(times)


def evaluate_line(
    trains: TrainPair, snippet: Snippet, line: LinearMap, bins: float, sharp: float = np.inf
) -> Hypothesis | None:
    """Evaluate a proposed line on all pulses; None where less than half of the snippet's pair within `sharp`."""
    refined = _refine(trains, snippet, line, 2.5 * bins)
    if refined is None:
        return None
    fit, window = refined
    part = fit.line(trains.source[snippet.first : snippet.stop])
    inside = np.searchsorted(part, trains.reference[[0, -1]] + np.asarray([-window, window]))
    if window > sharp or fit.count < 0.5 * (inside[1] - inside[0]):
        return None
    is_whole_train = snippet.stop - snippet.first == len(trains.source)
    if is_whole_train:
        of_source, of_reference = _pairs_of(trains, fit.line, window)
    else:
        of_source, of_reference = _track(trains, snippet, fit, window)
    if len(of_source) < 3:
        return None
    return _fit_and_count(trains, of_source, of_reference, window)


def refit_line(trains: TrainPair, line: LinearMap, window: float) -> Hypothesis | None:
    """Evaluate a line that is known well already, such as a shifted copy of another."""
    if len(trains.source) > 10 * _SAMPLE:
        sample = _pair_stretch(trains, line, 0, len(trains.source), window)
        if len(sample[0]) < 0.4 * _SAMPLE:
            return None
    of_source, of_reference = _pairs_of(trains, line, window)
    return _fit_and_count(trains, of_source, of_reference, window) if len(of_source) >= 3 else None


def _pairs_of(trains: TrainPair, line: LinearMap, window: float) -> tuple[Index, Index]:
    of_source, of_reference, _ = pair_nearest(line(trains.source), trains.reference, window)
    return of_source, of_reference


def _fit_within_drift(x: Times, y: Times, max_drift: float) -> LineFit:
    fit = fit_line(x, y)
    if abs(fit.line.drift) > max_drift:
        bounded = fit_line(x, y, known_drift=float(np.clip(fit.line.drift, -max_drift, max_drift)))
        fit = LineFit(bounded.line, bounded.sigma, fit.drift_error, bounded.count)
    return fit


def _refine(trains: TrainPair, snippet: Snippet, line: LinearMap, window: float) -> tuple[LineFit, float] | None:
    """Sharpen a proposed line on its snippet: pair, fit, narrow the window, again."""
    part = trains.source[snippet.first : snippet.stop]
    fit = LineFit(line, window, 0.0, 0)
    for _ in range(6):
        of_part, of_reference, _ = pair_nearest(fit.line(part), trains.reference, window)
        if len(of_part) < 3:
            return None
        x, y = part[of_part], trains.reference[of_reference]
        fit = _fit_within_drift(x, y, trains.max_drift)
        narrow = _narrow_window(y - fit.line(x), window)
        if narrow >= 0.98 * window:
            break
        window = narrow
    return fit, window


def _narrow_window(residual: Times, at_most: float) -> float:
    spread = 1.4826 * float(np.median(np.abs(subsample(residual))))
    return min(at_most, max(WIDTH * spread, FLOOR_S))


def _track(trains: TrainPair, snippet: Snippet, fit: LineFit, window: float) -> tuple[Index, Index]:
    """Follow a match out of its snippet to both ends.

    Each step is twice as long as the one before, or shorter where that loses the match, and goes on from the line
    through as many pairs before it: a drift that changes is followed. The pairs are from the whole length: all of
    them, or of long steps a sample, which is enough for a fit.
    """
    source, reference = trains.source, trains.reference
    pairs = [_pair_stretch(trains, fit.line, snippet.first, snippet.stop, window)]
    if len(pairs[0][0]) < 3:
        return pairs[0]
    for forward in (True, False):
        near, step = pairs[0], snippet.stop - snippet.first
        edge, end = (snippet.stop, len(source)) if forward else (snippet.first, 0)
        while edge != end:
            target = min(edge + step, end) if forward else max(edge - step, end)
            latest = slice(-max(step, 64), None) if forward else slice(None, max(step, 64))
            line = _fit_within_drift(source[near[0][latest]], reference[near[1][latest]], trains.max_drift).line
            stretch = _pair_stretch(trains, line, min(edge, target), max(edge, target), window)
            mapped = line(source[[min(edge, target), max(edge, target) - 1]])
            inside = mapped[1] >= reference[0] and mapped[0] <= reference[-1]
            if inside and len(stretch[0]) < 0.5 * min(abs(target - edge), _SAMPLE) and step > 32:
                step = max(step // 8, 32)  # lost: try again in shorter steps
                continue
            edge = target
            near = _append_pairs(near, stretch, forward)
            pairs.append(stretch)
            step *= 2
    order = np.argsort([int(stretch[0][0]) if len(stretch[0]) else -1 for stretch in pairs], kind="stable")
    of_source = np.concatenate([pairs[number][0] for number in order])
    of_reference = np.concatenate([pairs[number][1] for number in order])
    if not len(of_source):
        return of_source, of_reference
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(of_reference)) > 0])
    return of_source[rising], of_reference[rising]


def _append_pairs(near: tuple[Index, Index], stretch: tuple[Index, Index], forward: bool) -> tuple[Index, Index]:
    """Append a stretch to the nearest pairs, and keep the latest of them."""
    first, second = (near, stretch) if forward else (stretch, near)
    part = slice(-_SAMPLE, None) if forward else slice(None, _SAMPLE)
    return np.concatenate([first[0], second[0]])[part], np.concatenate([first[1], second[1]])[part]


def _pair_stretch(trains: TrainPair, line: LinearMap, first: int, stop: int, window: float) -> tuple[Index, Index]:
    """Pair a run of the source's pulses, or a sample of a long one."""
    chosen = np.arange(first, stop, max(1, (stop - first) // _SAMPLE))
    mapped = line(trains.source[chosen])
    low, high = np.searchsorted(trains.reference, [mapped[0] - window, mapped[-1] + window])
    if high - low < 1:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    of_chosen, of_reference, _ = pair_nearest(mapped, trains.reference[low:high], window)
    return chosen[of_chosen], of_reference + low


def _fit_and_count(trains: TrainPair, of_source: Index, of_reference: Index, window: float) -> Hypothesis | None:
    """Fit all pairs, pair again by that fit, and count the pulses left over."""
    source, reference = trains.source, trains.reference
    fit, pieces, jumps = _fit_lines(
        source[of_source], reference[of_reference], trains.max_drift, len(source) > SNIPPET
    )
    for last in (False, True):
        mapping = fit.line if pieces is None else pieces
        residual = reference[of_reference] - mapping(source[of_source])
        window = _narrow_window(residual, window * 1.5)
        previous_count = len(of_source)
        of_source, of_reference, residual = pair_nearest(mapping(source), reference, window)
        if len(of_source) < 3:
            return None
        # The pairs of a long train come from a sample of it: they have been paired anew now, and fit.
        is_settled = (
            last
            or len(source) > _SAMPLE
            or (len(source) > 5000 and abs(len(of_source) - previous_count) <= 0.001 * previous_count)
        )
        fit, pieces, jumps = _fit_lines(
            source[of_source], reference[of_reference], trains.max_drift, is_settled or len(source) > SNIPPET
        )
        if is_settled:
            break
    mapping = fit.line if pieces is None else pieces
    residual = reference[of_reference] - mapping(source[of_source])
    free = 2 if pieces is None else len(pieces.source)
    sigma = float(np.sqrt(residual @ residual / max(len(residual) - free, 1)))
    inside = _overlapping_pulses(trains, mapping, window)
    extra, missed = (
        _count_unpaired(paired, part) for paired, part in zip((of_source, of_reference), inside, strict=True)
    )
    sigma = max(sigma, FLOOR_S / 4)
    support = compute_support(trains, of_source, of_reference, sigma, missed + extra)
    return Hypothesis(of_source, of_reference, fit, pieces, jumps, sigma, window, inside, missed, extra, support)


def _fit_lines(x: Times, y: Times, max_drift: float, broken: bool) -> tuple[LineFit, PiecewiseMap | None, bool]:
    fit = _fit_within_drift(x, y, max_drift)
    pieces = fit_pieces(x, y, fit.line) if broken else None
    jumps = pieces is not None and bool(np.abs(pieces.drifts).max() > max_drift)
    return fit, None if jumps else pieces, jumps


def _overlapping_pulses(
    trains: TrainPair, mapping: LinearMap | PiecewiseMap, window: float
) -> tuple[tuple[int, int], tuple[int, int]]:
    low, high = find_overlap(trains, mapping, window)
    first, last = (int(index) for index in np.searchsorted(trains.reference, [low, high]))
    return _source_range(trains, mapping, low, high), (first, max(first, last))


def _count_unpaired(paired: Index, part: tuple[int, int]) -> int:
    """Count the pulses of a range that have no partner."""
    bounds = np.searchsorted(paired, part)
    return int(part[1] - part[0] - (bounds[1] - bounds[0]))


def count_common_unpaired(first: Hypothesis, second: Hypothesis) -> tuple[int, int]:
    """Count the pulses without a partner at two lags, among those that both lags put inside."""
    counts = [0, 0]
    for train in (0, 1):
        part = (
            max(first.inside[train][0], second.inside[train][0]),
            min(first.inside[train][1], second.inside[train][1]),
        )
        if part[1] > part[0]:
            for index, hypothesis in enumerate((first, second)):
                counts[index] += _count_unpaired((hypothesis.of_source, hypothesis.of_reference)[train], part)
    return counts[0], counts[1]


def find_overlap(trains: TrainPair, mapping: LinearMap | PiecewiseMap, window: float) -> tuple[float, float]:
    """Find the time, on the reference, that both trains cover."""
    start, stop = mapping(np.asarray(trains.source_span))
    low = max(float(start), trains.reference_span[0]) - window
    high = min(float(stop), trains.reference_span[1]) + window
    return low, high


def _source_range(trains: TrainPair, mapping: LinearMap | PiecewiseMap, low: float, high: float) -> tuple[int, int]:
    """Return the indices of the source's pulses between two times of the reference, by bisection."""

    def first_at(limit: float) -> int:
        lower, upper = 0, len(trains.source)
        while lower < upper:
            middle = (lower + upper) // 2
            if float(mapping(trains.source[middle : middle + 1])[0]) < limit:
                lower = middle + 1
            else:
                upper = middle
        return lower

    first = first_at(low)
    return first, max(first, first_at(high))
