"""Read a subject's age as NWB gives it, an ISO 8601 duration or a range of two."""

from __future__ import annotations

import re

_DAYS = {"Y": 365.25, "M": 30.4375, "W": 7.0, "D": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([YMWD])")


def read_age(age: str) -> tuple[float, float]:
    """Return the days that an age may mean, from and to: a year of it is any day of that year.

    Parameters
    ----------
    age : str
        ``P90D``, ``P2Y/P3Y`` or ``P2Y/``.
    """
    first, slash, last = age.partition("/")
    low, step = _read_duration(first)
    if not slash:
        return low - step, low + step
    if not last:
        return low, float("inf")
    high, step = _read_duration(last)
    return low, high + step


def _read_duration(text: str) -> tuple[float, float]:
    """Return a duration and its smallest unit, in days."""
    parts = _PART.findall(text.partition("T")[0])
    return sum(float(number) * _DAYS[unit] for number, unit in parts), min(
        (_DAYS[unit] for _, unit in parts), default=1
    )
