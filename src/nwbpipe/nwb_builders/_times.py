"""Times of a series: a rate where they are regular, else one timestamp for each sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Times:
    """Times of the samples of a series, in one of NWB's two forms.

    Parameters
    ----------
    timestamps : ndarray of float64 or pynwb.TimeSeries, optional
        One time a sample, in seconds from the session's start; a series to share its times with.
    rate : float, optional
        Sampling rate in Hz.
    starting_time : float
        Time of the first sample in seconds, where `rate` is given.
    """

    timestamps: Any = None
    rate: float | None = None
    starting_time: float = 0.0

    def __post_init__(self) -> None:
        if (self.timestamps is None) == (self.rate is None):
            raise ValueError("give either timestamps or rate")

    @classmethod
    def of(cls, series: Any) -> Times:
        """Return the times of a `pynwb.TimeSeries` for another one: its rate, or a link to its timestamps."""
        if series.rate is not None:
            return cls(rate=float(series.rate), starting_time=float(series.starting_time or 0.0))
        return cls(timestamps=series)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for a pynwb ``TimeSeries``."""
        if self.rate is not None:
            return {"rate": float(self.rate), "starting_time": float(self.starting_time)}
        return {"timestamps": self.timestamps}


def regular_times(timestamps: npt.ArrayLike, *, tolerance: float = 1e-7) -> Times:
    """Write timestamps as a rate and a starting time, if that says the same within `tolerance` seconds.

    Parameters
    ----------
    timestamps : array_like of float, shape (n_samples,)
        In seconds.
    tolerance : float
        Largest difference, in seconds, between a timestamp and the regular one in its place.

    Returns
    -------
    Times
    """
    times = np.asarray(timestamps, dtype=np.float64)
    if times.size > 2 and times[-1] > times[0]:
        rate = (times.size - 1) / (times[-1] - times[0])
        if np.max(np.abs(times - (times[0] + np.arange(times.size) / rate))) <= tolerance:
            nearest = float(round(rate, 6))  # 30.000000000000004 Hz is 30 Hz
            if np.max(np.abs(times - (times[0] + np.arange(times.size) / nearest))) <= tolerance:
                rate = nearest
            return Times(rate=float(rate), starting_time=float(times[0]))
    return Times(timestamps=times)
