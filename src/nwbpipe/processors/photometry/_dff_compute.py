"""dF/F of photometry traces (compute module).

F0 is the trace's control, fitted to it by robust regression (``isosbestic``), a running percentile, or an exponential
decay; dF/F = (F - F0) / F0. The regression is iteratively reweighted least squares with Tukey's bisquare: samples in
which the signal departs from the control (transients) lose their weight.

With ``bleaching`` the trends of signal and control are divided out before the regression, since they bleach at
different speeds: F / T_F = a + b C / T_C, and F0 = T_F (a + b C / T_C).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

# The part beside this file is imported by its name: the package that it lies in is not there.
from ._photometry_series import interpolate, iter_runs, median_interval, read_series

Progress = Callable[[float, str], None]

BINS = 600


def smooth(values: np.ndarray, times: np.ndarray, cutoff: float) -> np.ndarray:
    """Low-pass a trace (Butterworth of order 2, both ways); NaN for one period of the cutoff at each end of a run."""
    from scipy.signal import butter, sosfiltfilt

    rate = 1 / median_interval(times)
    if not cutoff < rate / 2:
        raise ValueError("lowpass_hz is %g Hz; expected below the Nyquist frequency, %.4g Hz" % (cutoff, rate / 2))
    sos = butter(2, cutoff, fs=rate, output="sos")
    edge = int(np.ceil(rate / cutoff - 1e-6))
    smoothed = np.full(values.shape, np.nan)
    for run in iter_runs(np.isfinite(values), times):
        if run.stop - run.start > 2 * edge + 9:
            smoothed[run.start + edge : run.stop - edge] = sosfiltfilt(sos, values[run])[edge:-edge]
    return smoothed


def bisquare(residuals: np.ndarray, tuning: float) -> np.ndarray:
    """Tukey's weights of residuals, scaled by their median absolute deviation."""
    scale = 1.4826 * np.median(np.abs(residuals - np.median(residuals)))
    if not scale > 0:
        return np.ones_like(residuals)
    return np.asarray(np.clip(1 - (residuals / (tuning * scale)) ** 2, 0, None) ** 2)


def regress(x: np.ndarray, y: np.ndarray, tuning: float) -> tuple[float, float, int]:
    """Fit y = slope x + intercept by iteratively reweighted least squares; return slope, intercept, iterations."""
    weights = np.ones_like(y)
    slope = intercept = 0.0
    for iteration in range(1, 101):
        total = weights.sum()
        mx, my = (weights @ x) / total, (weights @ y) / total
        variance = weights @ (x - mx) ** 2
        previous_slope, slope = slope, float(weights @ ((x - mx) * (y - my)) / variance)
        intercept = float(my - slope * mx)
        if iteration > 2 and abs(slope - previous_slope) <= 1e-6 * max(abs(slope), 1e-12):
            break
        weights = bisquare(y - slope * x - intercept, tuning)
    return slope, intercept, iteration


def fit_decay(values: np.ndarray, times: np.ndarray, terms: int, tuning: float) -> tuple[np.ndarray, list[float]]:
    """Fit a sum of one or two exponentials and a constant, all 0 or above, robustly; return it and its constants.

    The time constants are searched on a grid and refined; for each the amplitudes follow by non-negative least
    squares. The fit is to medians of short stretches, whose weights are Tukey's.
    """
    from scipy.optimize import minimize, nnls

    good = np.flatnonzero(np.isfinite(values))
    if len(good) < 20:
        raise ValueError("too few samples for an exponential fit: %d; expected 20 or more" % len(good))
    start, duration = times[good[0]], times[good[-1]] - times[good[0]]
    parts = np.array_split(good, min(BINS, max(len(good) // 4, 10)))
    y = np.array([np.median(values[part]) for part in parts])
    t = np.array([times[part].mean() for part in parts]) - start
    unit = max(float(np.abs(y).max()), 1e-300)

    def basis(taus: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.column_stack([*(np.exp(-at / tau) for tau in taus), np.ones_like(at)])

    def solve(logs: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
        root = np.sqrt(weights)
        amplitudes, norm = nnls(basis(np.exp(logs), t) * root[:, None], y / unit * root)
        return float(norm), np.asarray(amplitudes)

    grid = np.log(duration * np.geomspace(0.01, 10, 14))
    starts = [[a] for a in grid] if terms == 1 else [[a, b] for k, a in enumerate(grid) for b in grid[k + 1 :]]
    weights = np.ones_like(y)
    logs = np.array(min(starts, key=lambda one: solve(np.array(one), weights)[0]))
    for _ in range(6):
        optimum = minimize(
            lambda one, w=weights: solve(one, w)[0], logs, method="Nelder-Mead", options={"xatol": 1e-5}
        )
        logs = np.clip(optimum.x, grid[0] - 2, grid[-1] + 1)
        residuals = y - unit * basis(np.exp(logs), t) @ solve(logs, weights)[1]
        weights = bisquare(residuals, tuning)
    fit = unit * basis(np.exp(logs), times - start) @ solve(logs, weights)[1]
    return np.asarray(fit), np.exp(logs).tolist()


def running_percentile(values: np.ndarray, times: np.ndarray, percentile: float, window: float) -> np.ndarray:
    """Percentile in a window around each sample, in seconds; at the ends, that of the first and last whole window.

    Computed at 20 places a window, and interpolated.
    """
    first, last = times[0], times[-1]
    if last - first <= window:
        return np.full(len(values), np.nanpercentile(values, percentile))
    centres = np.linspace(first + window / 2, last - window / 2, max(2, int(np.ceil((last - first) / window * 20))))
    starts = np.searchsorted(times, centres - window / 2)
    stops = np.searchsorted(times, centres + window / 2, side="right")
    percentiles = np.full(len(centres), np.nan)
    for k, (start, stop) in enumerate(zip(starts, stops)):
        part = values[start:stop]
        part = part[np.isfinite(part)]
        if len(part):
            percentiles[k] = np.percentile(part, percentile)
    good = np.isfinite(percentiles)
    if not good.any():
        return np.full(len(values), np.nan)
    return np.asarray(np.interp(times, centres[good], percentiles[good]))


def compute_zscore(values: np.ndarray, times: np.ndarray, params: dict[str, Any], label: str) -> np.ndarray:
    """Z-score of a trace in one of the variants; NaN where a rolling window does not fit."""
    kind = params["zscore"]
    if kind == "rolling":
        return rolling_z(values, times, params["zscore_window_s"])
    if kind == "baseline":
        low, high = params["zscore_baseline_s"]
        part = values[(times >= low) & (times <= high)]
    else:
        part = values
    part = part[np.isfinite(part)]
    if len(part) < 2:
        raise ValueError("%s: no samples for the z-score's mean and standard deviation" % label)
    if kind == "robust":
        centre = np.median(part)
        spread = 1.4826 * np.median(np.abs(part - centre))
    else:
        centre, spread = part.mean(), part.std(ddof=1)
    if not spread > 0:
        raise ValueError("%s: the trace is constant: it has no z-score" % label)
    return np.asarray((values - centre) / spread)


def rolling_z(values: np.ndarray, times: np.ndarray, window: float) -> np.ndarray:
    """Z-score by mean and standard deviation in a window around each sample; NaN where it is not all there."""
    starts = np.searchsorted(times, times - window / 2 - 1e-9)
    stops = np.searchsorted(times, times + window / 2 + 1e-9, side="right")
    good = np.isfinite(values)
    filled = np.where(good, values - np.mean(values[good]), 0.0) if good.any() else np.zeros(len(values))

    def total(x: np.ndarray) -> np.ndarray:
        sums = np.concatenate(([0.0], np.cumsum(x)))
        return np.asarray(sums[stops] - sums[starts])

    count = total(good.astype(float))
    complete = (
        (times - window / 2 >= times[good][0] - 1e-9) & (times + window / 2 <= times[good][-1] + 1e-9) & (count > 1)
    )
    count = np.where(complete, count, np.nan)
    mean = total(filled) / count
    variance = (total(filled**2) - count * mean**2) / (count - 1)
    return np.where(good & (variance > 0), (filled - mean) / np.sqrt(np.where(variance > 0, variance, 1)), np.nan)


def fit_control(
    signal: np.ndarray, control: np.ndarray, times: np.ndarray, params: dict[str, Any], label: str
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the control fitted to the signal, and how."""
    facts: dict[str, Any] = {}
    trends = [np.ones_like(signal), np.ones_like(control)]
    if params["bleaching"] != "none":
        terms = 2 if params["bleaching"] == "double_exponential" else 1
        for k, (name, trace) in enumerate((("signal", signal), ("control", control))):
            trends[k], facts["tau_s_" + name] = fit_decay(trace, times, terms, params["tuning"])
    good = np.isfinite(signal) & np.isfinite(control)
    if good.sum() < 20:
        raise ValueError(
            "%s: signal and control have %d samples in common; expected 20 or more" % (label, good.sum())
        )
    x, y = (control / trends[1])[good], (signal / trends[0])[good]
    if not np.ptp(x) > 1e-12 * max(float(np.abs(x).max()), 1e-300):
        raise ValueError("%s: the control is constant: nothing can be regressed on it" % label)
    slope, intercept, iterations = regress(x, y, params["tuning"])
    facts.update(slope=slope, intercept=intercept, iterations=iterations)
    return trends[0] * (intercept + slope * control / trends[1]), facts


def compute_f_zero(
    signal: np.ndarray, control: np.ndarray, times: np.ndarray, params: dict[str, Any], label: str
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return F0 of a trace by the method of the parameters, and how."""
    if params["method"] == "isosbestic":
        return fit_control(signal, control, times, params, label)
    if params["method"] == "percentile":
        return running_percentile(signal, times, params["percentile"], params["window_s"]), {}
    terms = 2 if params["method"] == "double_exponential" else 1
    fit, taus = fit_decay(signal, times, terms, params["tuning"])
    return fit, {"tau_s_signal": taus}


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Leave ``dff``, ``f_zero`` and, if asked for, ``zscore`` and ``control``: float64, shape (samples, traces)."""
    params, facts = request["params"], request["facts"]
    values, times = read_series(request["inputs"]["signal"])
    if "control" in request["inputs"]:
        controls, control_times = read_series(request["inputs"]["control"])
    else:
        controls, control_times = values, times
    late = times - times[0] < params["skip_start_s"]
    arrays: dict[str, list[np.ndarray]] = {}
    summary = []
    for number, pair in enumerate(facts["pairs"]):
        signal, control = values[:, pair["signal"]].copy(), np.full(len(times), np.nan)
        if params["lowpass_hz"] is not None:
            signal = smooth(signal, times, params["lowpass_hz"])
        if pair["control"] is not None:
            control = controls[:, pair["control"]]
            if params["lowpass_hz"] is not None:
                control = smooth(control, control_times, params["lowpass_hz"])
            if control_times.shape != times.shape or np.abs(control_times - times).max() > 1e-9:
                control = interpolate(control_times, control, times)
        signal[late] = np.nan
        fit, fit_details = compute_f_zero(signal, control, times, params, pair["label"])
        fit = np.where(np.isfinite(signal), fit, np.nan)
        low = np.count_nonzero(fit[np.isfinite(fit)] <= 0)
        if low:
            raise ValueError(
                "%s: F0 is 0 or below in %d of %d samples: dF/F has no meaning there; is the signal a fluorescence, "
                "without a subtracted offset?" % (pair["label"], low, np.isfinite(fit).sum())
            )
        traces = {"dff": signal / fit - 1, "f_zero": fit, "signal": signal}
        if pair["control"] is not None:
            traces["control"] = control
        if params["zscore"] != "none":
            traces["zscore"] = compute_zscore(traces["dff"], times, params, pair["label"])
        for name, trace in traces.items():
            arrays.setdefault(name, []).append(trace)
        summary.append(fit_details)
        progress((number + 1) / len(facts["pairs"]), pair["label"])
    for name, several in arrays.items():
        results[name] = np.stack(several, axis=1)
    results["times"] = times
    return {"fits": summary}
