r"""Quality of fiber photometry.

Each measure is a formula on arrays (samples along the first axis; NaN is missing), each limit an entry of `LIMITS`.
A primed quantity is one less its own exponential trend, :math:`x' = x - (A e^{-t/\tau} + C)`.

================== ===== ======================================================================================
measure            unit  formula
================== ===== ======================================================================================
signal_to_noise    1     (99th percentile - median of dF/F) / noise, see `noise`
bleaching_tau_s    s     :math:`\tau` of the least-squares fit of :math:`A e^{-t/\tau} + C` (A, C ≥ 0)
bleaching_fraction 1     1 - fit at the end / fit at the start
control_correlation 1    Pearson's r of signal' and control'
motion_share       1     :math:`1 - \sum (s' - f')^2 / \sum s'^2`, f the control fitted to the signal s; 0 or more
saturation         1     fraction of samples that equal the sample before and the lowest or highest value
dropouts           1     fraction of samples that are missing, or in a run of `flat` or more identical values
carrier_to_noise   dB    height of a carrier over the median of the power spectrum around it
================== ===== ======================================================================================

The limits are ours: where a recording is worth a look (warn), and where a result should not be used without one
(fail). They are no property of nature; give others to `verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Verdict = Literal["pass", "warn", "fail"]

_BINS = 400  # medians over which a trend is fitted


@dataclass(frozen=True)
class MeasureLimits:
    """From where on a measure is worth a look, and from where on it fails; both in its own unit."""

    warn: float
    fail: float

    def judge(self, value: float) -> Verdict:
        """Judge a value; which side is the bad one, the order of the limits says."""
        sign = 1.0 if self.fail >= self.warn else -1.0
        if sign * value >= sign * self.fail:
            return "fail"
        return "warn" if sign * value >= sign * self.warn else "pass"


LIMITS: Mapping[str, MeasureLimits] = {
    "signal_to_noise": MeasureLimits(5.0, 2.0),
    "bleaching_fraction": MeasureLimits(0.3, 0.6),
    "control_correlation": MeasureLimits(0.0, -0.2),
    "motion_share": MeasureLimits(0.3, 0.7),
    "saturation": MeasureLimits(0.001, 0.01),
    "dropouts": MeasureLimits(0.001, 0.05),
    "carrier_to_noise": MeasureLimits(20.0, 10.0),
}


def judge_measures(measures: Mapping[str, float], limits: Mapping[str, MeasureLimits] = LIMITS) -> Verdict:
    """Return the worst verdict over the measures that have limits; one that is NaN could not be measured.

    Examples
    --------
    >>> verdict({"saturation": 0.0, "signal_to_noise": 3.0})
    'warn'
    """
    order: tuple[Verdict, ...] = ("pass", "warn", "fail")
    verdicts = [
        limits[name].judge(value) for name, value in measures.items() if name in limits and np.isfinite(value)
    ]
    return max(verdicts, key=order.index, default="pass")


def noise(trace: npt.ArrayLike) -> float:
    r"""Standard deviation of the noise that is independent from sample to sample, in the trace's unit.

    :math:`\sigma = 1.4826 \, \mathrm{median}(|d - \mathrm{median}(d)|) / \sqrt 2`, d the differences of consecutive
    samples: signals that are slow beside the sampling leave the median of the differences alone (as the noise level
    of Rupprecht et al. 2021, Nature Neuroscience 24, without its scaling by the rate).
    """
    steps = np.diff(np.asarray(trace, dtype=np.float64))
    steps = steps[np.isfinite(steps)]
    if not len(steps):
        return float("nan")
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2))


def signal_to_noise(dff: npt.ArrayLike) -> float:
    """Return the 99th percentile of a trace less its median, in units of its `noise` (1)."""
    values = np.asarray(dff, dtype=np.float64)
    good = values[np.isfinite(values)]
    sigma = noise(values)
    if len(good) < 3 or not sigma > 0:
        return float("nan")
    return float((np.percentile(good, 99) - np.median(good)) / sigma)


@dataclass(frozen=True)
class ExponentialTrend:
    """An exponential trend ``amplitude * exp(-(t - start) / tau_s) + constant``."""

    amplitude: float
    tau_s: float
    constant: float
    start: float

    def at(self, times: npt.ArrayLike) -> Floats:
        """Value of the trend at the given times."""
        since = np.asarray(times, dtype=np.float64) - self.start
        return np.asarray(self.amplitude * np.exp(-since / self.tau_s) + self.constant)


def fit_trend(values: npt.ArrayLike, times: npt.ArrayLike) -> ExponentialTrend | None:
    """Fit an exponential to a trace by least squares; None if fewer than 8 samples are there.

    Parameters
    ----------
    values : array_like of float, shape (samples,)
    times : array_like of float, shape (samples,)
        Seconds.
    """
    all_values, all_times = np.asarray(values, dtype=np.float64), np.asarray(times, dtype=np.float64)
    good = np.isfinite(all_values)
    y, t = all_values[good], all_times[good]
    if len(y) < 8:
        return None
    start, duration = float(t[0]), float(t[-1] - t[0])
    parts = np.array_split(np.arange(len(y)), min(_BINS, len(y) // 4 or 1))
    y = np.array([np.median(y[part]) for part in parts])
    t = np.array([t[part].mean() for part in parts]) - start

    def fit(tau: float) -> tuple[float, float, float]:
        decay = np.exp(-t / tau)
        centred = decay - decay.mean()
        spread = float(centred @ centred)
        amplitude = max(float(centred @ y) / spread if spread > 0 else 0.0, 0.0)
        constant = float(y.mean() - amplitude * decay.mean())
        if constant < 0:  # on the boundary the amplitude is that of the decay alone
            constant, amplitude = 0.0, max(float(decay @ y) / float(decay @ decay), 0.0)
        return float(((y - amplitude * decay - constant) ** 2).sum()), amplitude, constant

    grid = duration * np.geomspace(0.01, 20, 60)
    best = int(np.argmin([fit(tau)[0] for tau in grid]))
    fine = np.geomspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 60)
    tau = float(min(fine, key=lambda one: fit(one)[0]))
    _, amplitude, constant = fit(tau)
    return ExponentialTrend(amplitude, tau, constant, start)


def bleaching(values: npt.ArrayLike, times: npt.ArrayLike) -> tuple[float, float]:
    """Time constant (s) and fraction of the bleaching of a trace.

    The constant is NaN where it is longer than five times the recording, or nothing decays: it can't be measured.

    Parameters
    ----------
    values : array_like of float, shape (samples,)
        Fluorescence.
    times : array_like of float, shape (samples,)
        Seconds.
    """
    trend = fit_trend(values, times)
    if trend is None:
        return float("nan"), float("nan")
    last = float(np.asarray(times, dtype=np.float64)[np.isfinite(np.asarray(values, dtype=np.float64))][-1])
    first, end = trend.at([trend.start, last])
    fraction = float(1 - end / first) if first > 0 else float("nan")
    measurable = trend.amplitude > 0 and trend.tau_s <= 5 * (last - trend.start)
    return trend.tau_s if measurable else float("nan"), fraction


def _detrend(values: Floats, times: Floats) -> Floats:
    trend = fit_trend(values, times)
    return values if trend is None else values - trend.at(times)


def control_correlation(signal: npt.ArrayLike, control: npt.ArrayLike, times: npt.ArrayLike) -> float:
    """Pearson's r of signal and control, each less its exponential trend (1)."""
    t = np.asarray(times, dtype=np.float64)
    s, c = (_detrend(np.asarray(trace, dtype=np.float64), t) for trace in (signal, control))
    good = np.isfinite(s) & np.isfinite(c)
    if good.sum() < 3 or not (np.ptp(s[good]) > 0 and np.ptp(c[good]) > 0):
        return float("nan")
    return float(np.corrcoef(s[good], c[good])[0, 1])


def motion_share(signal: npt.ArrayLike, fit: npt.ArrayLike, times: npt.ArrayLike) -> float:
    """Share of the signal's variance, less trends, that the fitted control explains (1), from 0 to 1."""
    t = np.asarray(times, dtype=np.float64)
    s, f = (_detrend(np.asarray(trace, dtype=np.float64), t) for trace in (signal, fit))
    good = np.isfinite(s) & np.isfinite(f)
    if good.sum() < 3:
        return float("nan")
    s, f = s[good] - s[good].mean(), f[good] - f[good].mean()
    power = float(s @ s)
    return float(np.clip(1 - float((s - f) @ (s - f)) / power, 0, 1)) if power > 0 else float("nan")


def saturation(values: npt.ArrayLike) -> float:
    """Fraction of samples that equal the one before and the lowest or the highest value: clipped at a rail (1).

    A signal that is not clipped touches its extremes once in a while, one that is stays there. A constant one is no
    saturation but a dropout.
    """
    x = np.asarray(values)
    good = x[np.isfinite(x)]
    if not len(good) or good.min() == good.max():
        return 0.0
    railed = (x[1:] == x[:-1]) & ((x[1:] == good.min()) | (x[1:] == good.max()))
    return float(np.count_nonzero(railed) / len(x))


def dropouts(values: npt.ArrayLike, flat: int) -> float:
    """Fraction of samples that are not finite, or in a run of `flat` or more identical values (1)."""
    x = np.asarray(values)
    if not len(x):
        return 0.0
    starts = np.flatnonzero(np.concatenate(([True], x[1:] != x[:-1])))
    lengths = np.diff(np.append(starts, len(x)))
    return float((lengths[lengths >= flat].sum() + np.count_nonzero(~np.isfinite(x))) / len(x))


def missing_samples(times: npt.ArrayLike) -> float:
    """Fraction of samples that gaps in the timestamps leave out: intervals of n median ones lack n - 1 (1)."""
    steps = np.diff(np.asarray(times, dtype=np.float64))
    if not len(steps):
        return 0.0
    lacking = float(np.maximum(np.rint(steps / np.median(steps)) - 1, 0).sum())
    return lacking / (lacking + len(steps) + 1)
