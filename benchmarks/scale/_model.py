"""What many sessions cost: a fixed part and a part of each session, fitted to what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LinearCost:
    """Costs of the form fixed + per session × sessions.

    Attributes
    ----------
    fixed, per_session : float
    deviations : tuple of float
        At each size, how much more was measured than it says, as a fraction of what it says.
    """

    fixed: float
    per_session: float
    deviations: tuple[float, ...]

    def predict(self, sessions: int) -> float:
        """Return the cost of that many sessions."""
        return self.fixed + self.per_session * sessions


def fit_costs(measured: Mapping[int, float]) -> LinearCost:
    """Fit by least squares of the relative deviations, so that the small sizes count as much as the large one."""
    sizes, values = np.array(list(measured)), np.array(list(measured.values()))
    per_session, fixed = np.polyfit(sizes, values, 1, w=1 / values)
    predicted = fixed + per_session * sizes
    return LinearCost(float(fixed), float(per_session), tuple((values / predicted - 1).tolist()))


def describe_costs(name: str, measured: Mapping[int, float], far: int, digits: int) -> list[str]:
    """Return a row of a table: what was measured, the fit, its deviations, and what it says of `far` sessions."""
    costs = fit_costs(measured)
    values = " / ".join(f"{value:.{digits}f}" for value in measured.values())
    deviations = " / ".join(f"{deviation:+.0%}" for deviation in costs.deviations)
    return [name, values, f"{costs.fixed:.3g}", f"{costs.per_session:.3g}", deviations, f"{costs.predict(far):,.0f}"]
