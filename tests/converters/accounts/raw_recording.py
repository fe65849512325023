"""What raw recordings of all formats share: numbered samples, and the truth of what a file must hold.

Channel 0 holds the number of each sample modulo 5,000, so that the true time of a stored sample can be read off it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

STEP = 5000  # channel 0 counts up to it


@dataclass
class Recording:
    """Arguments that read a stream, and what the NWB file must then hold.

    Attributes
    ----------
    interface, args
        As in a spec.
    times : ndarray, shape (n,)
        True time of each sample in s, of all parts one after the other.
    marks : ndarray, shape (n,)
        Channel 0 of each sample, as integers in the file.
    channels : int
        Number of channels.
    volts : float
        One step of the integers, in volts.
    events : dict of str to ndarray
        True times of the pulses of digital lines, in s.
    """

    interface: str
    args: dict[str, Any]
    times: npt.NDArray[np.float64]
    marks: npt.NDArray[np.int64]
    channels: int
    volts: float
    events: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)


def sample_numbers(random: np.random.Generator, count: int, gaps: int) -> npt.NDArray[np.int64]:
    """Give the numbers of the samples that were stored: some are missing in `gaps` places."""
    steps = np.ones(count, np.int64)
    steps[0] = 0
    for place in random.choice(np.arange(1, count), gaps, replace=False):
        steps[place] += int(random.integers(1, 3000))
    return np.cumsum(steps)


def samples(random: np.random.Generator, numbers: npt.NDArray[np.int64], channels: int) -> npt.NDArray[np.int16]:
    data = random.integers(-200, 200, (len(numbers), channels)).astype(np.int16)
    data[:, 0] = numbers % STEP
    return data
