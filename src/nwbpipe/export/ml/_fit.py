"""Learn means, deviations and classes from the training part alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import RequestError
from nwbpipe.export._read_series import Floats

UNKNOWN = -1  # the class of a value that no training window has
_ROUNDING = 1e-12  # of the mean: a column that deviates by less does not change


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each column, or one of each for all columns.

    Attributes
    ----------
    mean, deviation : ndarray of float64
        The deviation of a column that does not change is 1.
    """

    mean: Floats
    deviation: Floats

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return values whose training part has the mean 0 and the deviation 1."""
        return np.asarray((values - self.mean) / self.deviation, dtype=np.float32)


@dataclass
class Fits:
    """All that a data set learned from its training windows.

    Attributes
    ----------
    scales : mapping of (stream, session) to Scale
        The session is "" for what all sessions have in common.
    classes : mapping of str to list of str
        The classes of each target, in order; the number of one is its place.
    units : list of str
        Identifiers of the units that are in the training part.
    """

    scales: dict[tuple[str, str], Scale] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    units: list[str] = field(default_factory=list)

    def find_scale(self, stream: str, session: str) -> Scale | None:
        """Return how a stream is normalised in a session; None if it is not."""
        return self.scales.get((stream, session), self.scales.get((stream, "")))

    def as_dict(self) -> dict[str, Any]:
        """Return them as JSON values."""
        scales = [
            {"stream": key[0], "session": key[1], "mean": scale.mean.tolist(), "deviation": scale.deviation.tolist()}
            for key, scale in sorted(self.scales.items())
        ]
        return {"scales": scales, "classes": self.classes, "units": self.units}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Fits:
        """Return what `as_dict` made JSON values of."""
        scales = {
            (item["stream"], item["session"]): Scale(
                np.asarray(item["mean"], dtype=np.float64), np.asarray(item["deviation"], dtype=np.float64)
            )
            for item in values["scales"]
        }
        return cls(scales, values["classes"], values["units"])


class Moments:
    """Number, mean and squared deviations of values that come window by window."""

    def __init__(self, *, pooled: bool) -> None:
        self._pooled = pooled
        self._count: Any = 0.0
        self._mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Add the values of a window, shape (n_bins, n_columns); NaNs do not count."""
        block = values.reshape(-1, 1) if self._pooled else values
        block = block.astype(np.float64)
        finite = np.isfinite(block)
        count = finite.sum(axis=0)
        mean = np.where(finite, block, 0.0).sum(axis=0) / np.maximum(count, 1)
        squares = (np.where(finite, block - mean, 0.0) ** 2).sum(axis=0)
        total = self._count + count
        shift = mean - self._mean
        part = count / np.maximum(total, 1)  # Chan's update: sums of squares would lose digits
        self._squares = self._squares + squares + shift**2 * self._count * part
        self._mean = self._mean + shift * part
        self._count = total

    def scale(self) -> Scale:
        """Return mean and standard deviation."""
        deviation = np.sqrt(self._squares / np.maximum(self._count, 1))
        is_constant = deviation <= _ROUNDING * np.abs(self._mean)  # in any unit: currents in A deviate by 1e-13
        return Scale(np.atleast_1d(self._mean), np.atleast_1d(np.where(is_constant, 1.0, deviation)))


def require_training(stream: str, session: str, has_training: bool) -> None:
    """Refuse to normalise the neurons of a session that has no training window.

    Raises
    ------
    RequestError
        The session has none.
    """
    if not has_training:
        raise RequestError(
            f"{stream} can't be normalised by its own columns: a session has no training part",
            where=session,
            expected="training windows of each session, as by = 'block' leaves them",
            hint=f"normalise = 'pooled_zscore' takes one mean for all sessions: write it in the table of {stream}",
        )


def list_classes(values: Iterable[str]) -> list[str]:
    """Return the classes in their order: numbers by their size."""
    classes = set(values)
    try:
        return sorted(classes, key=float)
    except ValueError:
        return sorted(classes)
