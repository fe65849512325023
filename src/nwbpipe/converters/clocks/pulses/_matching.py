"""Align a clock by two records of the same pulses: find the lag and the line, and judge them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from nwbpipe.converters.clocks.pulses._contradiction import find_contradiction
from nwbpipe.converters.clocks.pulses._hypothesis import Hypothesis, count_common_unpaired, evaluate_line, refit_line
from nwbpipe.converters.clocks.pulses._lines import LinearMap, Times
from nwbpipe.converters.clocks.pulses._search import choose_snippets, propose
from nwbpipe.converters.clocks.pulses._trains import TrainPair, drop_bounces

MARGIN = float(np.log(1e4))  # the odds that are asked for
# Of a lag against another that has support of its own, as in a sequence that is played again and again: pulses that
# happen to be missing favour one by chance.
_MARGIN_REPEATED = 25.0
_SHARPER = 1.2  # by how much residuals must be smaller to count as evidence between two lags
_STEPS = 64
_LONG = 50_000  # pulses


@dataclass(frozen=True)
class PulseMatch:
    """The result of `match_pulses`.

    Attributes
    ----------
    best : Hypothesis or None
        The likeliest lag, evaluated on all pulses.
    verdict : str
        ``accepted``, or the reason against it: ``too few pulses``, ``no fit``, ``chance``, ``ambiguous``, ``broken``.
    detail : str
        The same in a sentence, with figures.
    anchor : str
        The evidence that settled the lag: ``intervals``, ``gaps`` or ``start_within_s``.
    source, reference : array of float64
        The pulses that were used: without those that bounce. The indices of `best` are into these.
    """

    best: Hypothesis | None
    verdict: str = "accepted"
    detail: str = ""
    anchor: str = ""
    source: Times = field(default_factory=lambda: np.empty(0))
    reference: Times = field(default_factory=lambda: np.empty(0))

    @property
    def is_accepted(self) -> bool:
        """True if the match may be used."""
        return self.verdict == "accepted"


def match_pulses(
    source: Times,
    reference: Times,
    *,
    max_drift_ppm: float = 500.0,
    start_within_s: float | None = None,
    source_span: tuple[float, float] | None = None,
    reference_span: tuple[float, float] | None = None,
) -> PulseMatch:
    """Find which pulses of two trains are the same events, and the line between their clocks.

    The trains may lack pulses, have extra and bouncing ones, and any lag.

    Parameters
    ----------
    source, reference : array of float64
        Times of the pulses in seconds, each on its clock, strictly increasing.
    max_drift_ppm : float
        The largest drift, in parts per million.
    start_within_s : float, optional
        The first pulses of both trains are at most this far apart, once aligned.
    source_span, reference_span : (float, float), optional
        Start and end of either recording, if known: silence before and after the pulses is evidence.

    Returns
    -------
    PulseMatch

    Examples
    --------
    >>> import numpy as np
    >>> seen = np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, 100))
    >>> match = match_pulses(seen[5:], seen * (1 + 50e-6) + 12.5)
    >>> round(match.best.fit.line.offset_s, 6), round(match.best.fit.line.drift * 1e6, 3)
    (12.5, 50.0)
    """
    if min(len(source), len(reference)) < 3:
        return PulseMatch(None, "too few pulses", "at least 3 on both clocks are needed")
    source, reference = drop_bounces(source), drop_bounces(reference)
    trains = TrainPair.make(source, reference, max_drift_ppm * 1e-6, source_span, reference_span)
    candidates = _find_candidates(trains, start_within_s)
    if not candidates:
        return PulseMatch(None, "no fit", "no lag brings more than half of the pulses together")
    best, rivals = _climb(trains, candidates, start_within_s)
    match = _judge(trains, best, rivals, start_within_s)
    return replace(match, source=source, reference=reference)


def _starts_within(trains: TrainPair, candidate: Hypothesis, start_within_s: float | None) -> bool:
    if start_within_s is None:
        return True
    start = float(candidate(trains.source[:1])[0])
    return bool(abs(start - trains.reference[0]) <= start_within_s + candidate.window)


def _find_candidates(trains: TrainPair, start_within_s: float | None, most: int = 3) -> list[Hypothesis]:
    """Evaluate the lags that are proposed, and those that bring the trains' ends together."""
    source, reference = trains.source, trains.reference
    candidates: list[Hypothesis] = []
    sharp = np.inf
    for snippet in choose_snippets(source)[:most]:
        near = None
        if start_within_s is not None:
            later = float(source[snippet.first] - source[0])
            middle, slack = reference[0] + later, start_within_s + trains.max_drift * later
            near = (float(middle - slack), float(middle + slack))
        lines, bins = propose(source, reference, snippet, trains.max_drift, near)
        if not candidates:
            lines += [
                LinearMap(float(a), float(b), 0.0)
                for a, b in ((source[0], reference[0]), (source[-1], reference[-1]))
            ]
        for line in lines:
            if _is_known_lag(candidates, line, bins):
                continue
            candidate = evaluate_line(trains, snippet, line, bins, sharp)
            if candidate is not None and _starts_within(trains, candidate, start_within_s):
                candidates.append(candidate)
                # Of a long train, only a rival that is as sharp is worth its time.
                if len(source) > _LONG and _is_significant(trains, candidate, start_within_s):
                    sharp = min(sharp, 3 * candidate.window)
        if candidates and _is_significant(trains, max(candidates, key=_support), start_within_s):
            break
    return candidates


def _support(candidate: Hypothesis) -> float:
    return candidate.support


def _is_known_lag(candidates: list[Hypothesis], line: LinearMap, bins: float) -> bool:
    at = np.asarray([line.centre])
    return any(abs(float(candidate(at)[0]) - line.at) < bins and candidate.support > 0 for candidate in candidates)


def _threshold(trains: TrainPair, start_within_s: float | None) -> float:
    """Return the support that a lag needs: by the number of possible lags, and the margin."""
    lags = float(len(trains.source)) * len(trains.reference)
    if start_within_s is not None:
        span = max(trains.reference[-1] - trains.reference[0], 1e-9)
        lags *= min(1.0, 2 * start_within_s / span)
    return float(np.log(max(lags, 1.0)) + MARGIN)


def _is_significant(trains: TrainPair, candidate: Hypothesis, start_within_s: float | None) -> bool:
    return candidate.support >= _threshold(trains, start_within_s)


def _compare_evidence(first: Hypothesis, second: Hypothesis) -> float:
    """Return the evidence, in nats, for the first lag against the second, both taken as possible.

    Pulses that either lag puts outside the time that both trains cover are no evidence; those inside without a
    partner are, and so are residuals that are clearly smaller.
    """
    first_unpaired, second_unpaired = count_common_unpaired(first, second)
    evidence = (second_unpaired - first_unpaired) * -np.log(max(min(first.error_rate, second.error_rate), 1e-6))
    ratio = second.sigma / first.sigma
    if ratio > _SHARPER or ratio < 1 / _SHARPER:
        evidence += min(first.num_pairs, second.num_pairs) * np.log(ratio)
    return float(evidence)


def _find_neighbours(trains: TrainPair, best: Hypothesis, start_within_s: float | None) -> list[Hypothesis]:
    """Evaluate the lags by one and two pulses to either side."""
    step = float(np.median(np.diff(trains.reference)))
    neighbours = []
    for count in (-2, -1, 1, 2):
        line = LinearMap(best.fit.line.centre, best.fit.line.at + count * step, best.fit.line.drift)
        window = min(max(best.window, 0.25 * step), 0.45 * step)
        if len(trains.source) > _LONG and best.support > 0:  # only a rival that is as sharp costs its time
            window = min(window, 1.5 * best.window)
        neighbour = refit_line(trains, line, window)
        if (
            neighbour is not None
            and _starts_within(trains, neighbour, start_within_s)
            and _are_different(best, neighbour)
        ):
            neighbours.append(neighbour)
    return neighbours


def _are_different(first: Hypothesis, second: Hypothesis) -> bool:
    at = np.asarray([second.fit.line.centre])
    return abs(float(first(at)[0] - second(at)[0])) > max(first.window, second.window, 4 * first.sigma)


def _climb(
    trains: TrainPair, candidates: list[Hypothesis], start_within_s: float | None
) -> tuple[Hypothesis, list[Hypothesis]]:
    """Go from the likeliest lag to a neighbour as long as that is better; return the best and its rivals."""
    best = max(candidates, key=_support)
    significant = _is_significant(trains, best, start_within_s)
    if not significant:  # an even train: no lag has support, the one with the fewest unpaired pulses is tried
        best = max(
            candidates, key=lambda candidate: (candidate.num_pairs - 2 * candidate.num_unpaired, candidate.support)
        )
    for _ in range(_STEPS):
        neighbours = _find_neighbours(trains, best, start_within_s)
        rivals = [candidate for candidate in [*candidates, *neighbours] if _are_different(best, candidate)]
        better = [
            candidate
            for candidate in neighbours
            if _compare_evidence(candidate, best) > 0 and candidate.support >= 0.5 * best.support
        ]
        if not better:
            break
        candidates = [*candidates, best]
        best = max(better, key=lambda candidate: _compare_evidence(candidate, best))
    return best, rivals


def _judge(trains: TrainPair, best: Hypothesis, rivals: list[Hypothesis], start_within_s: float | None) -> PulseMatch:
    threshold = _threshold(trains, start_within_s)
    significant = best.support >= threshold
    if best.num_pairs < best.num_unpaired:
        return PulseMatch(
            best,
            "no fit",
            "most pulses have no partner: the trains are not of the same events, or their clocks drift "
            "by more than is allowed",
        )
    if not significant:
        few = min(len(trains.source), len(trains.reference))
        # Pulses that are missing here and there make gaps that anchor nothing.
        limit = 0.2 * best.num_pairs if start_within_s is not None else max(1.0, 0.01 * best.num_pairs)
        if best.num_unpaired > limit or best.num_pairs < 0.5 * few or (few < 10 and start_within_s is None):
            return PulseMatch(
                best,
                "chance",
                "the fit could be chance: the pulses are too few, too even, or too many have no partner",
            )
    against = [
        rival
        for rival in rivals
        if (rival.support >= 0.4 * best.support if significant else rival.num_pairs >= 0.5 * best.num_pairs)
    ]
    # Without support there are as many lags as pulses, and single pulses that are missing coincide at some of them.
    margin = _MARGIN_REPEATED if significant else MARGIN
    if not significant and not _is_complete(trains, best):
        margin += float(np.log(best.num_pairs))
    close = [rival for rival in against if _compare_evidence(best, rival) < margin]
    if close:
        closest = min(close, key=lambda rival: _compare_evidence(best, rival))
        distance = float(closest(trains.source[:1])[0] - best(trains.source[:1])[0])
        return PulseMatch(
            best,
            "ambiguous",
            f"another lag, {distance:+.6g} s away, pairs {closest.num_pairs} pulses"
            f" and leaves {closest.num_unpaired} unpaired",
        )
    if not significant and not rivals and start_within_s is None:
        return PulseMatch(best, "chance", "the fit could be chance: the pulses are too few, or too even")
    if best.jumps:
        return PulseMatch(best, "broken", "the residuals ask for a line with steps: a clock was set in between")
    broken = find_contradiction(trains, best)
    if broken is None and significant:
        broken = _find_second_lag(trains, best)
    if broken is not None:
        return PulseMatch(
            best,
            "broken",
            f"the pulses from {broken[0]:.3f} s to {broken[1]:.3f} s (on the reference) do not fit: a clock "
            "was restarted or set there, or pulses were not recorded for a while",
        )
    if significant:
        return PulseMatch(best, anchor="intervals")
    return PulseMatch(best, anchor="gaps" if rivals else "start_within_s")


def _is_complete(trains: TrainPair, best: Hypothesis) -> bool:
    """Return True if every pulse has a partner, and both trains are silent before and after them."""
    if not best.num_pairs == len(trains.source) == len(trains.reference):
        return False
    silence = 3 * float(np.median(np.diff(trains.reference)))
    return all(
        times[0] - span[0] > silence and span[1] - times[-1] > silence
        for times, span in ((trains.source, trains.source_span), (trains.reference, trains.reference_span))
    )


def _find_second_lag(trains: TrainPair, best: Hypothesis) -> tuple[float, float] | None:
    """Find where, on the reference, the pulses without a partner pair at another lag, as after a restart."""
    unpaired = np.ones(len(trains.source), dtype=bool), np.ones(len(trains.reference), dtype=bool)
    unpaired[0][best.of_source], unpaired[1][best.of_reference] = False, False
    source, reference = trains.source[unpaired[0]], trains.reference[unpaired[1]]
    if min(len(source), len(reference)) < 6:
        return None
    remaining = TrainPair.make(source, reference, trains.max_drift, None, None)
    # To refuse takes less than to accept. Chance stays below the logarithm of the number of lags by more than this.
    enough = _threshold(remaining, None) - MARGIN - 4.0
    candidates = [candidate for candidate in _find_candidates(remaining, None, most=1) if candidate.support >= enough]
    if not candidates:
        return None
    paired = reference[max(candidates, key=_support).of_reference]
    return float(paired[0]), float(paired[-1])
