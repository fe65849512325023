"""Simulate the trials and events that the behaviour computer logs, in its own clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nwbpipe.simulate._common import Floats, Scale, to_clock


@dataclass(frozen=True)
class BehaviorTruth:
    """The truth of the simulated behaviour.

    Attributes
    ----------
    trial_start, trial_stop : ndarray, float64, shape (n_trials,)
        Start and end of each trial in seconds, in the reference clock.
    trial_side : tuple of str
        ``left`` or ``right``, for each trial.
    trial_outcome : tuple of str
        ``hit`` or ``miss``, for each trial.
    event_names : tuple of str
        ``cue``, ``lick`` or ``reward``, for each event, in order of time.
    event_times : ndarray, float64, shape (n_events,)
        Time of each event in seconds, in the reference clock. The files keep 0.1 ms.
    """

    trial_start: Floats
    trial_stop: Floats
    trial_side: tuple[str, ...]
    trial_outcome: tuple[str, ...]
    event_names: tuple[str, ...]
    event_times: Floats


def write_behavior(trials: Path, events: Path, rng: np.random.Generator, scale: Scale) -> BehaviorTruth:
    """Write the trials (start_time, stop_time, side, outcome, reward_ul) and the events (name, time).

    Parameters
    ----------
    trials, events : Path
        The .csv files to write.
    rng : numpy.random.Generator
        Source of all randomness.
    scale : Scale
        Duration, number of trials.
    """
    n_trials = scale.n_trials
    period = (scale.duration_s - 0.6) / n_trials
    start = 0.3 + period * (np.arange(n_trials) + rng.uniform(0.0, 0.1, n_trials))
    stop = start + period * rng.uniform(0.6, 0.8, n_trials)
    side = tuple("left" if draw < 0.5 else "right" for draw in rng.uniform(size=n_trials))
    # The first trial is a hit, so that every kind of event is in every session.
    outcome = tuple("hit" if k == 0 or draw < 0.75 else "miss" for k, draw in enumerate(rng.uniform(size=n_trials)))
    log: list[tuple[float, str]] = []
    for begin, end, result in zip(start, stop, outcome, strict=True):
        cue = begin + 0.1 * (end - begin)
        log.append((float(cue), "cue"))
        if result == "miss":
            continue
        licks = np.sort(rng.uniform(cue + 0.15 * (end - begin), end, int(rng.integers(2, 7))))
        log += [(float(lick), "lick") for lick in licks]
        log.append((float(licks[0]) + 0.02, "reward"))
    log.sort()
    trials.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{a:.4f},{b:.4f},{side_name},{result},{4.0 if result == 'hit' else 0.0}"
        for a, b, side_name, result in zip(
            to_clock(start, "behavior"), to_clock(stop, "behavior"), side, outcome, strict=True
        )
    ]
    trials.write_text("\n".join(["start_time,stop_time,side,outcome,reward_ul", *rows]) + "\n", encoding="ascii")
    times = np.array([time for time, _ in log])
    lines = [f"{name},{time:.4f}" for time, (_, name) in zip(to_clock(times, "behavior"), log, strict=True)]
    events.write_text("\n".join(["name,time", *lines]) + "\n", encoding="ascii")
    return BehaviorTruth(
        trial_start=start,
        trial_stop=stop,
        trial_side=side,
        trial_outcome=outcome,
        event_names=tuple(name for _, name in log),
        event_times=times,
    )
