"""Align a clock by two pulse trains, and keep the evidence; a bad fit is refused with its figures."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from nwbpipe.converters._added import Times
from nwbpipe.converters.clocks._trains import PulseTrain
from nwbpipe.converters.clocks.pulses import LinearMap, LineFit, PiecewiseMap, fit_line, match_intervals, match_pulses
from nwbpipe.converters.spec._clock_spec import AlignFrames, AlignIntervals, AlignPulses
from nwbpipe.errors import ClockError
from nwbpipe.provenance import AlignmentRecord

logger = logging.getLogger("nwbpipe")

ClockMap = LinearMap | PiecewiseMap
_SAMPLE = 2000  # residuals that are kept for a figure


def align(
    name: str, reference: str, clock: AlignPulses | AlignIntervals, train: PulseTrain, reference_train: PulseTrain
) -> tuple[ClockMap, AlignmentRecord]:
    """Align a clock by its pulses and those of the reference.

    Parameters
    ----------
    name, reference : str
        Names of the clocks.
    clock : AlignPulses or AlignIntervals
        The clock's section of the spec.
    train : PulseTrain
        Pulses on the clock.
    reference_train : PulseTrain
        The same pulses on the reference clock.

    Returns
    -------
    LinearMap or PiecewiseMap
        The map from the clock to the reference.
    AlignmentRecord
        The evidence for the map.

    Raises
    ------
    ClockError
        If the fit is bad and the spec does not say `on_misfit: warn`, or the trains share no pulses.
    """
    location = f"clocks.{name}"
    names = {
        "clock": name,
        "reference": reference,
        "pulses": str(clock.pulses),
        "reference_pulses": str(clock.reference_pulses),
        "repair": "; ".join(note for note in (train.repair, reference_train.repair) if note),
        "tolerance_s": clock.tolerance_s,
    }
    if isinstance(clock, AlignIntervals):
        mapping, record, detail = _align_by_intervals(clock, train, reference_train, names)
    else:
        mapping, record, detail = _align_by_pulses(clock, train, reference_train, names)
    return mapping, _require_fit(record, detail, clock.on_misfit == "warn", location)


def _require_fit(record: AlignmentRecord, detail: str, warn: bool, where: str) -> AlignmentRecord:
    """Return a record of a good fit, or of a bad fit that the spec accepts; refuse it otherwise."""
    if record.accepted and record.residual_95_s > record.tolerance_s:  # NaN: any residual will do
        detail = f"95 % of the residuals are within {record.residual_95_s:.6g} s, not {record.tolerance_s:g} s"
        record = replace(record, verdict="beyond tolerance")
    if record.accepted:
        return record
    figures = "; ".join(str(record).splitlines())
    if warn:
        logger.warning("%s: used although %s (%s): %s", where, record.verdict, detail, figures)
        return record
    raise ClockError(
        f"the clock can't be aligned: {record.verdict}",
        where=where,
        expected="pulses of the same events, which fit at one lag only and within the tolerance",
        found=f"{detail}; {figures}",
        hint=_HINTS.get(record.verdict, "") + "`on_misfit: warn` uses the fit all the same, and records that",
    )


_HINTS = {
    "ambiguous": "give `start_within_s` (how far apart the first pulses of both trains may be), if that is known; ",
    "chance": "use a train with more pulses or uneven ones, or give `start_within_s`; ",
    "beyond tolerance": "raise `tolerance_s` if the pulses can't be more exact (a log in milliseconds, frames); ",
    "broken": "make each part a source with a clock of its own; ",
    "no fit": "check that both trains show the same events, the edge, and `max_drift_ppm`; ",
}


def _align_by_pulses(
    clock: AlignPulses, train: PulseTrain, reference_train: PulseTrain, names: dict[str, Any]
) -> tuple[ClockMap, AlignmentRecord, str]:
    match = match_pulses(
        train.times,
        reference_train.times,
        max_drift_ppm=clock.max_drift_ppm,
        start_within_s=clock.start_within_s,
        source_span=train.span,
        reference_span=reference_train.span,
    )
    best = match.best
    if best is None:
        raise _no_match_error(match.verdict, match.detail, train, reference_train, names)
    mapping = best.mapping
    times = match.reference[best.of_reference]
    residual = times - mapping(match.source[best.of_source])
    counts = (best.num_pairs, best.missed, best.extra)
    names = {**names, "verdict": match.verdict, "anchor": match.anchor or "none"}
    record = make_record("pulses", best.fit, mapping, match.source[[0, -1]], times, residual, counts, **names)
    return mapping, record, match.detail


def _align_by_intervals(
    clock: AlignIntervals, train: PulseTrain, reference_train: PulseTrain, names: dict[str, Any]
) -> tuple[ClockMap, AlignmentRecord, str]:
    match = match_intervals(
        train.times, reference_train.times, tolerance_s=clock.tolerance_s, max_drift_ppm=clock.max_drift_ppm
    )
    if len(match.of_source) < 2:
        raise _no_match_error(match.verdict, match.detail, train, reference_train, names)
    x, y = train.times[match.of_source], reference_train.times[match.of_reference]
    fit = fit_line(x, y)
    residual = y - fit.line(x)
    mapping: ClockMap = fit.line
    if np.quantile(np.abs(residual), 0.95) > clock.tolerance_s or abs(fit.line.drift) > clock.max_drift_ppm * 1e-6:
        # The clock stood still, or was set, between some pulses: each of them is a knot.
        mapping, residual = PiecewiseMap(x, y), np.concatenate([[0.0], match.differences])
    counts = (len(x), len(reference_train.times) - len(x), len(train.times) - len(x))
    names = {**names, "verdict": match.verdict}
    record = make_record("intervals", fit, mapping, train.times[[0, -1]], y, residual, counts, **names)
    return mapping, record, match.detail or f"r = {match.correlation:.6f}"


def _no_match_error(
    verdict: str, detail: str, train: PulseTrain, reference_train: PulseTrain, names: dict[str, Any]
) -> ClockError:
    return ClockError(
        f"the clock can't be aligned: {verdict}",
        where=f"clocks.{names['clock']}",
        expected="pulses of the same events on both clocks",
        found=f"{detail}; {len(train.times)} pulses on the clock, {len(reference_train.times)} on the reference",
        hint="check the channel, its threshold and edge, and the names of the events",
    )


def make_frames_record(
    name: str, reference: str, clock: AlignFrames, original: Times, times: Times, repair: str
) -> AlignmentRecord:
    """Make the record for samples that take the pulses' times: how far the pulses are from the samples' own times.

    Raises
    ------
    ClockError
        If they differ by more than an offset, a drift and the tolerance of the spec.
    """
    fit = fit_line(original, times)
    record = make_record(
        "frames",
        fit,
        fit.line,
        original[[0, -1]],
        times,
        times - fit.line(original),
        (len(times), 0, 0),
        clock=name,
        reference=reference,
        pulses="the samples",
        reference_pulses=str(clock.reference_pulses),
        repair=repair,
        tolerance_s=float("nan") if clock.tolerance_s is None else clock.tolerance_s,
    )
    return _require_fit(record, "", clock.on_misfit == "warn", f"clocks.{name}")


def make_record(
    method: str,
    fit: LineFit,
    mapping: ClockMap,
    ends: Times,
    times: Times,
    residual: Times,
    counts: tuple[int, int, int],
    **names: Any,
) -> AlignmentRecord:
    """Make the record of an alignment.

    Parameters
    ----------
    method : str
        As in `AlignmentRecord`.
    fit : LineFit
        The straight line through the pairs.
    mapping : LinearMap or PiecewiseMap
        The map that is used.
    ends : array of float64
        First and last pulse on the clock.
    times, residual : array of float64
        The pairs' times on the reference, and their distance from the map.
    counts : (int, int, int)
        Matched, missed and extra pulses.
    **names
        Further fields of `AlignmentRecord`.
    """
    knots = ends if isinstance(mapping, LinearMap) else mapping.source
    size = np.abs(residual)
    sample = np.unique(np.linspace(0, len(times) - 1, min(len(times), _SAMPLE)).astype(np.int64))
    defaults = {"verdict": "accepted", "anchor": "order", "pulses": "", "reference_pulses": "", "repair": ""}
    return AlignmentRecord(
        **{"tolerance_s": float("nan"), **defaults, **names},
        method=method,
        n_matched=counts[0],
        n_missed=counts[1],
        n_extra=counts[2],
        offset_s=fit.line.offset_s,
        drift_ppm=fit.line.drift * 1e6,
        drift_error_ppm=fit.drift_error * 1e6,
        residual_median_s=float(np.median(size)),
        residual_95_s=float(np.quantile(size, 0.95)),
        residual_max_s=float(size.max()),
        knots=np.column_stack([knots, mapping(np.asarray(knots, dtype=np.float64))]),
        residuals=np.column_stack([times[sample], residual[sample]]),
    )
