"""Is the behaviour of a session sound? Trials per block, missing events, their order, reaction times.

The rules, each with a limit of its own in `BehaviorRules`:

trials per block
    A trial is in the block in which it starts (start ≤ t < stop). The value is the smallest number of trials of a
    block; at least `min_trials_per_block`.
trials outside of blocks
    The fraction of trials that start in no block; at most `max_outside`.
missing events
    An event is missing in a trial if none of its name belongs to it: by the column ``trial`` of its table, or by its
    time (start ≤ t ≤ stop). The value is the fraction
    of trials in which one or more of `required` are missing; at most `max_missing`.
order violations
    In each trial, the first occurrence of each event of `order` that is there must not be before that of one that
    stands before it in `order`. The value is the fraction of trials in which one is; at most `max_violations`.
reaction-time outliers
    The reaction time of a trial is the first `response` at or after the first `stimulus`, minus the latter; a trial
    without one of them has none, and counts in no denominator. It is an outlier if it is below `min_reaction_s` (a
    response to nothing), or if its logarithm is more than `outlier_deviations` robust standard deviations (1.4826
    times the median absolute deviation) from the median. The value is the fraction of reaction times that are;
    at most `max_outliers`. With a deviation of 0, only the first rule holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nwbpipe.errors import InputError, ParameterError
from nwbpipe_kit.windows import assign_rows, resolve

Floats = npt.NDArray[np.float64]
_ROBUST = 1.4826  # median absolute deviation → standard deviation, of a normal distribution


@dataclass(frozen=True)
class BehaviorRules:
    """Quality rules for a session's behaviour. A rule that names no events is not checked.

    Parameters
    ----------
    required : tuple of str
        Events that each trial must have.
    order : tuple of str
        Events in the order in which they must first happen in a trial.
    stimulus, response : str
        Events that a reaction time is between.
    min_trials_per_block : int
    max_outside, max_missing, max_violations, max_outliers : float
        Largest fractions that pass.
    min_reaction_s : float
        Shortest reaction time, in seconds, that can be a reaction.
    outlier_deviations : float
        Robust standard deviations of the logarithm beyond which a reaction time is an outlier.
    """

    required: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    stimulus: str = ""
    response: str = ""
    min_trials_per_block: int = 5
    max_outside: float = 0.0
    max_missing: float = 0.02
    max_violations: float = 0.0
    max_outliers: float = 0.05
    min_reaction_s: float = 0.05
    outlier_deviations: float = 5.0

    def __post_init__(self) -> None:
        if bool(self.stimulus) != bool(self.response):
            raise ParameterError("a reaction time is between two events", expected="both stimulus and response")
        if len(set(self.order)) != len(self.order):
            raise ParameterError("an event stands twice in the order", found=", ".join(self.order))


@dataclass(frozen=True)
class BehaviorMeasure:
    """One measure and its verdict.

    Parameters
    ----------
    name : str
    value, limit : float
    passed : bool
    trials : tuple of int
        Ids of the trials that speak against it.
    detail : str
        In words, with figures.
    """

    name: str
    value: float
    limit: float
    passed: bool
    trials: tuple[int, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class BehaviorData:
    """Trials, blocks and events of a session, as arrays.

    Parameters
    ----------
    trials : ndarray of float64, shape (n_trials, 2)
        Start and stop, in seconds.
    ids : ndarray of int64, shape (n_trials,)
    events : dict of str to ndarray of float64
        Times of each kind of event, increasing.
    blocks : ndarray of float64, shape (n_blocks, 2), optional
    rows : dict of str to ndarray of int64
        For kinds of events whose table says so: the row of the trial that each belongs to, -1 for none.
    """

    trials: Floats
    ids: npt.NDArray[np.int64]
    events: Mapping[str, Floats] = field(default_factory=dict)
    blocks: Floats | None = None
    rows: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def of(cls, nwbfile: Any) -> BehaviorData:
        """Take the trials, the epochs and all events of an open file.

        Raises
        ------
        InputError
            It has no trials.
        """
        if nwbfile.trials is None or not len(nwbfile.trials):
            raise InputError("the file has no trials", expected="nwbfile.trials", hint="convert them first")
        trials, ids = _read_bounds(nwbfile.trials), np.asarray(nwbfile.trials.id[:], dtype=np.int64)
        collected: dict[str, list[tuple[Floats, npt.NDArray[np.int64] | None]]] = {}
        for table in (nwbfile.events or {}).values():
            times = np.asarray(table["timestamp"].data[:], dtype=np.float64)
            rows = None
            if "trial" in table.colnames and np.asarray(table["trial"].data[:]).dtype.kind in "iuf":
                rows = assign_rows(times, trials, ids, np.asarray(table["trial"].data[:]))
            names = np.asarray(table["event_type"].data[:]) if "event_type" in table.colnames else None
            for name in [table.name] if names is None else sorted(set(names)):
                chosen = np.ones(times.size, bool) if names is None else names == name
                part = (times[chosen], None if rows is None else rows[chosen])
                collected.setdefault(str(name), []).append(part)
        events, rows_of = {}, {}
        for name, parts in collected.items():
            values = np.concatenate([times for times, _ in parts])
            order = np.argsort(values, kind="stable")
            events[name] = values[order]
            row_parts = [rows for _, rows in parts if rows is not None]
            if len(row_parts) == len(parts):
                rows_of[name] = np.concatenate(row_parts)[order]
        blocks = None if nwbfile.epochs is None else _read_bounds(nwbfile.epochs)
        return cls(trials, ids, events, blocks, rows_of)

    def first(self, name: str) -> Floats:
        """Time of the first event of that name in each trial; NaN where there is none.

        Raises
        ------
        InputError
            No event of the session has that name.
        """
        if name not in self.events:
            event_names = ", ".join(sorted(self.events))
            raise InputError(f"no event is called {name!r}", expected=f"one of {event_names}", found=name)
        return self.first_after(name, np.full(len(self.trials), -np.inf))

    def first_after(self, name: str, earliest: Floats) -> Floats:
        """Time of the first event of that name in each trial at or after a time; NaN where there is none."""
        times, rows = self.events[name], self.rows.get(name)
        result = np.full(len(self.trials), np.nan)
        for row, ((start, stop), limit) in enumerate(zip(self.trials, earliest, strict=True)):
            if np.isnan(limit):
                continue
            if rows is not None:
                within = times[rows == row]
            else:  # an event that ends a trial is at its end, whatever the last bit of a sum makes of it
                low = np.searchsorted(times, start - resolve(start))
                within = times[low : np.searchsorted(times, stop + resolve(stop), side="right")]
            later = within[within >= limit]
            result[row] = later[0] if later.size else np.nan
        return result


def _read_bounds(table: Any) -> Floats:
    return np.stack(
        [np.asarray(table[name].data[:], dtype=np.float64) for name in ("start_time", "stop_time")], axis=1
    )


def measure_behavior(session: Any, rules: BehaviorRules | None = None) -> list[BehaviorMeasure]:
    """Hold a session's behaviour to the rules.

    Parameters
    ----------
    session : pynwb.NWBFile or Behavior
        An open file, or its arrays.
    rules : BehaviorRules, optional

    Returns
    -------
    list of Measure
        One for each rule that has something to look at.

    Raises
    ------
    InputError
        The file has no trials, or a rule names an event that the session has not.
    """
    rules = rules or BehaviorRules()
    behavior = session if isinstance(session, BehaviorData) else BehaviorData.of(session)
    measures = []
    if behavior.blocks is not None:
        measures += count_trials_per_block(behavior, rules)
    if rules.required:
        measures.append(find_missing_events(behavior, rules))
    if len(rules.order) > 1:
        measures.append(find_order_violations(behavior, rules.order, rules.max_violations))
    if rules.stimulus:
        measures.append(find_reaction_time_outliers(behavior, rules))
    return measures


def count_trials_per_block(behavior: BehaviorData, rules: BehaviorRules) -> list[BehaviorMeasure]:
    """Count the trials of each block, and those of none; see the module's docstring."""
    assert behavior.blocks is not None
    start = behavior.trials[:, 0]
    inside = (start[:, None] >= behavior.blocks[:, 0]) & (start[:, None] < behavior.blocks[:, 1])
    counts = inside.sum(axis=0)
    outside = np.logical_not(np.logical_or.reduce(inside, axis=1))
    least = float(counts.min()) if counts.size else 0.0
    listed = ", ".join(map(str, counts[:50]))
    fraction = float(outside.mean())
    return [
        BehaviorMeasure(
            "trials_per_block",
            least,
            rules.min_trials_per_block,
            least >= rules.min_trials_per_block,
            detail=f"{counts.size} blocks with {listed} trials",
        ),
        _measure_fraction("trials_outside_blocks", outside, behavior.ids, rules.max_outside, fraction),
    ]


def find_missing_events(behavior: BehaviorData, rules: BehaviorRules) -> BehaviorMeasure:
    """Find the trials that lack a required event; see the module's docstring."""
    missing = {name: ~np.isfinite(behavior.first(name)) for name in rules.required}
    any_of: npt.NDArray[np.bool_] = np.asarray(np.logical_or.reduce(list(missing.values())))
    detail = ", ".join(f"{name}: {int(lacking.sum())}" for name, lacking in missing.items())
    return _measure_fraction(
        "missing_events",
        any_of,
        behavior.ids,
        rules.max_missing,
        float(any_of.mean()),
        f"missing in trials: {detail}",
    )


def find_order_violations(behavior: BehaviorData, order: Sequence[str], limit: float = 0.0) -> BehaviorMeasure:
    """Find the trials whose events are out of order; see the module's docstring."""
    firsts = np.stack([behavior.first(name) for name in order], axis=1)
    # The latest so far, those that are missing left out, must not be after the next one.
    latest = np.fmax.accumulate(firsts, axis=1)
    wrong = np.logical_or.reduce(firsts[:, 1:] < latest[:, :-1], axis=1)
    detail = " < ".join(order)
    return _measure_fraction(
        "order_violations", wrong, behavior.ids, limit, float(wrong.mean()), f"expected {detail}"
    )


def compute_reaction_times(behavior: BehaviorData, stimulus: str, response: str) -> Floats:
    """Reaction time of each trial.

    Returns
    -------
    ndarray of float64, shape (n_trials,)
        In seconds; NaN where a trial has no stimulus, or no response at or after it.
    """
    stimulus_times = behavior.first(stimulus)
    behavior.first(response)  # refuses an unknown name
    return behavior.first_after(response, stimulus_times) - stimulus_times


def find_reaction_time_outliers(behavior: BehaviorData, rules: BehaviorRules) -> BehaviorMeasure:
    """Find reaction times that can be none, or are far from the others; see the module's docstring."""
    times = compute_reaction_times(behavior, rules.stimulus, rules.response)
    finite = np.isfinite(times)
    early = finite & (times < rules.min_reaction_s)
    log = np.log(np.where(finite & ~early, times, np.nan))
    far = np.zeros(times.size, dtype=bool)
    detail = "no reaction times"
    if np.isfinite(log).any():
        median = float(np.nanmedian(log))
        spread = _ROBUST * float(np.nanmedian(np.abs(log - median)))
        if spread > 0:
            far = np.abs(log - median) > rules.outlier_deviations * spread
        detail = f"median {np.exp(median):.4f} s; {int(early.sum())} too early, {int(far.sum())} far off"
    wrong = early | far
    fraction = float(wrong.sum() / finite.sum()) if finite.any() else float("nan")
    return _measure_fraction("reaction_time_outliers", wrong, behavior.ids, rules.max_outliers, fraction, detail)


def _measure_fraction(
    name: str, wrong: npt.NDArray[np.bool_], ids: npt.NDArray[np.int64], limit: float, value: float, detail: str = ""
) -> BehaviorMeasure:
    figures = f"{int(wrong.sum())} of {wrong.size} trials"
    text = f"{figures}; {detail}" if detail else figures
    return BehaviorMeasure(name, value, limit, value <= limit, tuple(map(int, ids[wrong])), text)
