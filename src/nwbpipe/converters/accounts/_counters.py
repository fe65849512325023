"""Sample counters beside the data: where samples are missing, and when each was taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.converters.accounts._account import Gap, Times

_BLOCK = 4_000_000  # numbers that are read at a time
# Files round times to a millisecond or so; a frame that is a tenth of an interval off its place is not there.
_OFF = 0.1


def find_gaps(numbers: Any, rate: float, *, unit: float | None = None, tolerance: float = 0.0) -> tuple[Gap, ...]:
    """Find where a counter of samples does not go on by 1.

    Parameters
    ----------
    numbers : array, shape (n,)
        The counter at each sample; may be memory-mapped.
    rate : float
        Samples in a second.
    unit : float, optional
        Length of a step of the counter in seconds, where it does not count samples.
    tolerance : float
        Deviation from the expected step, in samples, that is no gap.
    """
    gaps: list[Gap] = []
    step = 1.0 if unit is None else 1.0 / (rate * unit)  # of the counter, from one sample to the next
    for first in range(0, len(numbers) - 1, _BLOCK):
        part = np.asarray(numbers[first : first + _BLOCK + 1])
        steps = np.diff(part.astype(np.float64) - float(part[0]) if part.dtype.kind == "f" else part.astype(np.int64))
        extra = steps / step - 1
        for index in np.flatnonzero(np.abs(extra) > tolerance):
            sample = first + int(index) + 1
            seconds = float(np.float64(numbers[sample - 1]) - np.float64(numbers[0])) / step / rate + 1 / rate
            gaps.append(Gap(sample, float(extra[index]), seconds))
    return tuple(gaps)


def counter_times(numbers: Any, rate: float, zero: float) -> Times:
    """Return the time of each sample by its counter.

    Parameters
    ----------
    numbers : array of int, shape (n,)
        The counter at each sample.
    rate : float
        Samples in a second.
    zero : float
        The counter at time 0.
    """
    times: Times = (np.asarray(numbers, dtype=np.int64) - int(zero)) / rate
    return times if zero == int(zero) else times - (zero - int(zero)) / rate


def lazily(numbers: Callable[[], Any], rate: float, zero: float | None) -> dict[str, Any]:
    """Return the fields of a stream that its counter gives: `find_gaps` and `times`, both read when needed.

    Without `zero`, the first sample is at time 0.
    """

    def read_times() -> Times:
        values = numbers()
        return counter_times(values, rate, float(values[0]) if zero is None else zero)

    return {"find_gaps": lambda: find_gaps(numbers(), rate), "times": read_times}


def map_npy(path: Path) -> Any:
    """Memory-map an array of a ``.npy`` file; no pickles."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def join(parts: Sequence[Callable[[], Any]]) -> Callable[[], Any]:
    """Return a function that reads the counters of several files as one array."""
    return partial(_concatenate, parts)


def _concatenate(parts: Sequence[Callable[[], Any]]) -> Any:
    return np.concatenate([np.asarray(part()) for part in parts]) if len(parts) > 1 else parts[0]()


def is_regular(times: Times) -> bool:
    """Return True if one rate fits all frames."""
    if len(times) < 3 or times[-1] <= times[0]:
        return True
    step = 1.0 / mean_rate(times)
    return bool(np.max(np.abs(times - times[0] - np.arange(len(times)) * step)) <= _OFF * step)


def mean_rate(times: Times) -> float:
    """Return the rate of frames by the first and the last of their times, in Hz."""
    return float((len(times) - 1) / (times[-1] - times[0])) if len(times) > 1 and times[-1] > times[0] else 0.0
