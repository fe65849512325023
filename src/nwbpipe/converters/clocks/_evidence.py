"""From two pulse trains to a clock's map, and the evidence for it; what does not hold is refused with its figures."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from nwbpipe.converters.clocks._alignment import Times
from nwbpipe.converters.clocks._trains import PulseTrain
from nwbpipe.converters.clocks.pulses import LinearMap, LineFit, PiecewiseMap, fit_line, match_intervals, match_pulses
from nwbpipe.converters.spec._clock_spec import AlignFrames, AlignIntervals, AlignPulses
from nwbpipe.errors import ClockError
from nwbpipe.provenance import AlignmentRecord

logger = logging.getLogger("nwbpipe")

ClockMap = LinearMap | PiecewiseMap
_SAMPLE = 2000  # residuals that are kept for a figure


def align(
    name: str, reference: str, clock: AlignPulses | AlignIntervals, own: PulseTrain, other: PulseTrain
) -> tuple[ClockMap, AlignmentRecord]:
    """Align a clock by its pulses and those of the reference.

    Parameters
    ----------
    name, reference : str
        Names of the clocks.
    clock : AlignPulses or AlignIntervals
        What the spec asks for.
    own, other : Train
        The pulses; the others' times are on the reference clock already.

    Returns
    -------
    Line or Pieces
        The map from the clock to the reference.
    AlignmentRecord
        Its evidence.

    Raises
    ------
    ClockError
        If the evidence does not hold and the spec does not say `on_misfit: warn`, or there is nothing to go by.
    """
    where = f"clocks.{name}"
    if isinstance(clock, AlignIntervals):
        mapping, record, detail = _align_by_intervals(clock, own, other, where)
    else:
        mapping, record, detail = _align_by_pulses(clock, own, other, where)
    record = replace(
        record,
        clock=name,
        reference=reference,
        pulses=str(clock.pulses),
        reference_pulses=str(clock.reference_pulses),
        repair="; ".join(note for note in (own.repair, other.repair) if note),
        tolerance_s=clock.tolerance_s,
    )
    if record.accepted and record.residual_95_s > clock.tolerance_s:
        record = replace(record, verdict="beyond tolerance")
        detail = f"95 % of the residuals are within {record.residual_95_s:.6g} s, not {clock.tolerance_s:g} s"
    return mapping, require_fit(record, detail, clock.on_misfit == "warn", where)


def require_fit(record: AlignmentRecord, detail: str, warn: bool, where: str) -> AlignmentRecord:
    """Return a record that holds, or is to be used nonetheless; refuse it otherwise."""
    if record.accepted:
        return record
    figures = "; ".join(str(record).splitlines())
    if warn:
        logger.warning("%s: used although %s (%s): %s", where, record.verdict, detail, figures)
        return record
    raise ClockError(
        f"the clock can't be aligned: {record.verdict}",
        where=where,
        expected="pulses of the same events, that fit at one lag only and within the tolerance",
        found=f"{detail}; {figures}",
        hint=_HINTS.get(record.verdict, "") + "`on_misfit: warn` uses it all the same, and records that",
    )


_HINTS = {
    "ambiguous": "give `start_within_s` (how far apart the first pulses of both trains may be), if that is known; ",
    "chance": "use a train with more pulses or uneven ones, or give `start_within_s`; ",
    "beyond tolerance": "raise `tolerance_s` if the pulses can't be more exact (a log in milliseconds, frames); ",
    "broken": "make each part a source with a clock of its own; ",
    "no fit": "check that both trains show the same events, the edge, and `max_drift_ppm`; ",
}


def _align_by_pulses(
    clock: AlignPulses, own: PulseTrain, other: PulseTrain, where: str
) -> tuple[ClockMap, AlignmentRecord, str]:
    match = match_pulses(
        own.times,
        other.times,
        max_drift_ppm=clock.max_drift_ppm,
        start_within_s=clock.start_within_s,
        source_span=own.span,
        reference_span=other.span,
    )
    best = match.best
    if best is None:
        raise _no_match_error(match.verdict, match.detail, own, other, where)
    mapping = best.mapping
    times = match.reference[best.of_reference]
    record = make_record(
        "pulses",
        match.verdict,
        match.anchor,
        best.fit,
        mapping,
        match.source[[0, -1]],
        times,
        times - mapping(match.source[best.of_source]),
        (best.pair_count, best.missed, best.extra),
    )
    return mapping, record, match.detail


def _align_by_intervals(
    clock: AlignIntervals, own: PulseTrain, other: PulseTrain, where: str
) -> tuple[ClockMap, AlignmentRecord, str]:
    found = match_intervals(own.times, other.times, tolerance_s=clock.tolerance_s, max_drift_ppm=clock.max_drift_ppm)
    if len(found.of_source) < 2:
        raise _no_match_error(found.verdict, found.detail, own, other, where)
    x, y = own.times[found.of_source], other.times[found.of_reference]
    fit = fit_line(x, y)
    residual = y - fit.line(x)
    mapping: ClockMap = fit.line
    if np.quantile(np.abs(residual), 0.95) > clock.tolerance_s or abs(fit.line.drift) > clock.max_drift_ppm * 1e-6:
        # The clock stood still, or was set, between some pulses: each of them is a knot.
        mapping, residual = PiecewiseMap(x, y), np.concatenate([[0.0], found.differences])
    pairs = len(x)
    record = make_record(
        "intervals",
        found.verdict,
        "order",
        fit,
        mapping,
        own.times[[0, -1]],
        y,
        residual,
        (pairs, len(other.times) - pairs, len(own.times) - pairs),
    )
    return mapping, record, found.detail or f"r = {found.correlation:.6f}"


def _no_match_error(verdict: str, detail: str, own: PulseTrain, other: PulseTrain, where: str) -> ClockError:
    return ClockError(
        f"the clock can't be aligned: {verdict}",
        where=where,
        expected="pulses of the same events on both clocks",
        found=f"{detail}; {len(own.times)} pulses on the clock, {len(other.times)} on the reference",
        hint="check the channel, its threshold and edge, and the names of the events",
    )


def make_frames_record(
    name: str, reference: str, clock: AlignFrames, before: Times, times: Times, repair: str
) -> AlignmentRecord:
    """Make the evidence for samples that take the pulses' times: how even the pulses are against their own times.

    Raises
    ------
    ClockError
        If they are further from even than the spec allows.
    """
    fit = fit_line(before, times)
    record = make_record(
        "frames",
        "accepted",
        "order",
        fit,
        fit.line,
        before[[0, -1]],
        times,
        times - fit.line(before),
        (len(times), 0, 0),
    )
    record = replace(
        record,
        clock=name,
        reference=reference,
        pulses="the samples",
        reference_pulses=str(clock.reference_pulses),
        repair=repair,
        tolerance_s=float("nan") if clock.tolerance_s is None else clock.tolerance_s,
    )
    if clock.tolerance_s is not None and record.residual_95_s > clock.tolerance_s:
        record = replace(record, verdict="beyond tolerance")
    detail = "the pulses and the samples' own times differ by more than an offset and a drift"
    return require_fit(record, detail, clock.on_misfit == "warn", f"clocks.{name}")


def make_record(
    method: str,
    verdict: str,
    anchor: str,
    fit: LineFit,
    mapping: ClockMap,
    ends: Times,
    times: Times,
    residual: Times,
    counts: tuple[int, int, int],
) -> AlignmentRecord:
    """Make a record of what was found; names and places are filled in by the caller."""
    knots = ends if isinstance(mapping, LinearMap) else mapping.source
    size = np.abs(residual)
    some = np.unique(np.linspace(0, len(times) - 1, min(len(times), _SAMPLE)).astype(np.int64))
    return AlignmentRecord(
        clock="",
        reference="",
        method=method,
        verdict=verdict,
        anchor=anchor or "none",
        pulses="",
        reference_pulses="",
        repair="",
        n_matched=counts[0],
        n_missed=counts[1],
        n_extra=counts[2],
        offset_s=fit.line.offset_s,
        drift_ppm=fit.line.drift * 1e6,
        drift_error_ppm=fit.drift_error * 1e6,
        residual_median_s=float(np.median(size)),
        residual_95_s=float(np.quantile(size, 0.95)),
        residual_max_s=float(size.max()),
        tolerance_s=float("nan"),
        knots=np.column_stack([knots, mapping(np.asarray(knots, dtype=np.float64))]),
        residuals=np.column_stack([times[some], residual[some]]),
    )
