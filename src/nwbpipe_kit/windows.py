"""Times at the edge of a window or trial: what rounding may have moved belongs inside."""

from __future__ import annotations

import numpy as np

# An event is stamped up to so many seconds outside of its trial; that many of all must not be farther off.
_NEAR_S, _AGREED = 0.1, 0.95


def resolve(time: float) -> float:
    """Return the smallest step that times of this size can be told apart by, some roundings included (s)."""
    return max(1e-9, 4 * float(np.spacing(abs(time)))) if np.isfinite(time) else 0.0


def assign_rows(times: np.ndarray, trials: np.ndarray, ids: np.ndarray, events: np.ndarray) -> np.ndarray | None:
    """Return the row of the trial of each event by the ids that its table gives; None if the times deny them.

    Parameters
    ----------
    times : ndarray of float64, shape (n_events,)
    trials : ndarray of float64, shape (n_trials, 2)
    ids : ndarray of int, shape (n_trials,)
    events : ndarray of shape (n_events,)
        Id of each event's trial; a table may count otherwise than the trials do.
    """
    row_of = {int(number): row for row, number in enumerate(ids)}
    rows = np.array([row_of.get(int(number), -1) if np.isfinite(number) else -1 for number in events], dtype=np.int64)
    assigned = rows >= 0
    if not assigned.any():
        return None
    first, last = trials[rows[assigned]].T
    inside = (times[assigned] >= first - _NEAR_S) & (times[assigned] <= last + _NEAR_S)
    return rows if inside.mean() >= _AGREED else None
