"""Demodulate frequency-multiplexed photometry: each trace is the envelope of its carrier (compute module).

Both methods are one operation: at a carrier of frequency f, sample k of a trace is the weighted sum

    y[k] = sum_n h[n] x[k D + n] exp(-2 pi i f (k D + n) / fs),   n = -M ... M

* ``lock_in``: h is a low-pass (sinc, Kaiser window, 80 dB), so that 2 |y| is the amplitude in quadrature,
  sqrt(I^2 + Q^2), of what lies within the bandwidth around the carrier;
* ``spectrogram``: h is a Hann window, so that (2 |y|)^2 / 2 is the power at the carrier itself, not at the next bin.

D is a whole number, so a trace's rate is fs / D exactly, and sample k stands at sample k D of the recording. Where
the window reaches beyond the recording, the trace is NaN. The sums are products of matrices of blocks of the
recording, whose size does not depend on its length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np

Progress = Callable[[float, str], None]

ATTENUATION_DB = 80.0
BLOCK_BYTES = 32 * 2**20
SEGMENTS = 64  # of the recording, from its start to its end, whose spectra are averaged
DETECTABLE_DB = 15.0  # of a carrier over the median of the spectrum around it


def low_pass(rate: float, passband: float) -> np.ndarray:
    """Low-pass of odd length and sum 1: flat up to `passband`, 80 dB down from twice that, both in Hz."""
    length = int(np.ceil((ATTENUATION_DB - 7.95) / (2.285 * 2 * np.pi * passband / rate))) | 1
    n = np.arange(length) - length // 2
    taps = np.sinc(2 * 1.5 * passband / rate * n) * np.kaiser(length, 0.1102 * (ATTENUATION_DB - 8.7))
    return np.asarray(taps / taps.sum())


def hann(rate: float, seconds: float) -> np.ndarray:
    """Hann window of odd length and sum 1."""
    taps = np.hanning((round(rate * seconds) | 1) + 2)[1:-1]
    return np.asarray(taps / taps.sum())


class FilterBank:
    """One window h at several carriers, applied to blocks of one recorded column."""

    def __init__(self, taps: np.ndarray, step: int, rate: float, carriers: list[float]) -> None:
        self.half, self.step, self.rate = len(taps) // 2, step, rate
        self.omega = 2 * np.pi * np.asarray(carriers) / rate
        self.parts = -(-len(taps) // step)
        n = np.arange(len(taps)) - self.half
        kernels = np.zeros((self.parts * step, len(carriers)), dtype=np.complex128)
        kernels[: len(taps)] = taps[:, None] * np.exp(-1j * n[:, None] * self.omega)
        stacked = np.concatenate([kernels.real, kernels.imag], axis=1)  # (parts * step, 2 carriers)
        stacked = stacked.reshape(self.parts, step, -1).transpose(1, 0, 2).reshape(step, -1)
        self.matrix = np.ascontiguousarray(stacked, dtype=np.float32)

    def apply(self, samples: np.ndarray, first: int, count: int) -> np.ndarray:
        """Return y for `count` outputs from number `first` on, complex, shape (count, carriers).

        `samples` begin at sample ``first * step - half`` and are ``(count + parts - 1) * step`` many.
        """
        products = samples.reshape(count + self.parts - 1, self.step) @ self.matrix
        products = products.reshape(len(products), self.parts, -1)
        total = np.zeros((count, products.shape[2]))
        for part in range(self.parts):
            total += products[part : part + count, part]
        carriers = len(self.omega)
        turned = (first + np.arange(count))[:, None] * self.step * self.omega
        return np.asarray((total[:, :carriers] + 1j * total[:, carriers:]) * np.exp(-1j * turned))


def read_columns(dataset: h5py.Dataset, start: int, stop: int) -> np.ndarray:
    """Samples [start, stop) of every column, float32, shape (columns, samples); 0 beyond the ends."""
    inside = slice(max(start, 0), max(min(stop, dataset.shape[0]), 0))
    values = dataset[inside]
    values = values.reshape(len(values), -1).T
    padded = np.zeros((values.shape[0], stop - start), dtype=np.float32)
    padded[:, inside.start - start : inside.start - start + values.shape[1]] = values
    return padded


class SampleCounter:
    """Counts samples at the rails and samples that are missing, over the blocks of a recording.

    The measures are those of `nwbpipe.quality.photometry`: `saturation` and `dropouts`.
    """

    def __init__(self, count: int, flat: int) -> None:
        self.flat = flat
        self.extreme = np.array([[np.inf] * count, [-np.inf] * count])
        self.railed = np.zeros((2, count), dtype=np.int64)
        self.lost = np.zeros(count, dtype=np.int64)
        self.last = np.full(count, np.nan, dtype=np.float32)
        self.run = np.zeros(count, dtype=np.int64)  # samples so far of the run of equal values that is still open
        self.seen = 0

    def add(self, block: np.ndarray) -> None:
        """Count a block, shape (columns, samples), that follows the one before."""
        self.seen += block.shape[1]
        for column, values in enumerate(block):
            same = np.empty(len(values), dtype=bool)
            same[0] = values[0] == self.last[column]
            np.equal(values[1:], values[:-1], out=same[1:])
            repeated = values[same]
            for side, (pick, beyond) in enumerate(((np.fmin, np.less), (np.fmax, np.greater))):  # NaN is passed over
                extreme = pick.reduce(values)
                if beyond(extreme, self.extreme[side, column]):
                    self.extreme[side, column], self.railed[side, column] = extreme, 0
                self.railed[side, column] += np.count_nonzero(repeated == np.float32(self.extreme[side, column]))
            self._count_lost(column, values, same)
            self.last[column] = values[-1]

    def _count_lost(self, column: int, values: np.ndarray, same: np.ndarray) -> None:
        changes = np.flatnonzero(~same)
        if len(changes) == 0:
            self.run[column] += len(values)
            return
        lengths = np.diff(np.append(changes, len(values)))
        first, open_run = self.run[column] + changes[0], lengths[-1]
        closed = np.append(lengths[:-1], first)
        self.lost[column] += closed[closed >= self.flat].sum() + np.count_nonzero(np.isnan(values))
        self.run[column] = open_run

    def fractions(self) -> tuple[list[float], list[float]]:
        """Saturated and lost fraction of each column."""
        lost = self.lost + np.where(self.run >= self.flat, self.run, 0)
        constant = self.extreme[0] == self.extreme[1]
        railed = np.where(constant, 0, self.railed.sum(axis=0))
        total = max(self.seen, 1)
        return (railed / total).tolist(), np.minimum(lost / total, 1.0).tolist()


def spectrum(dataset: h5py.Dataset, rate: float, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean power spectrum of each column over segments from all of the recording, and its frequencies.

    Not the first samples alone: a lamp that goes on late would be missed.
    """
    total = dataset.shape[0]
    length = min(total, 1 << int(np.ceil(np.log2(rate / resolution))))
    starts = np.unique(np.linspace(0, total - length, min(SEGMENTS, max(1, total // length))).astype(int))
    window = np.hanning(length)
    power = np.zeros(1)
    for start in starts:
        block = read_columns(dataset, start, start + length).astype(np.float64)
        good = np.isfinite(block)
        mean = np.sum(block, axis=1, where=good) / np.maximum(good.sum(axis=1), 1)
        power = power + np.abs(np.fft.rfft(np.where(good, block - mean[:, None], 0.0) * window)) ** 2
    return np.fft.rfftfreq(length, 1 / rate), np.atleast_2d(power) / len(starts)


def find_peak(frequencies: np.ndarray, power: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Frequency of the highest peak within [low, high] Hz, and its height over the median around it in dB."""
    spacing = frequencies[1]
    inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
    inside = inside[(inside > 0) & (inside < len(power) - 1)]
    inside = inside[(power[inside] > power[inside - 1]) & (power[inside] >= power[inside + 1])]
    if not len(inside):
        return float("nan"), float("-inf")
    top = int(inside[np.argmax(power[inside])])
    a, b, c = np.log(power[top - 1 : top + 2] + 1e-300)
    curve = a - 2 * b + c
    shift = 0.5 * (a - c) / curve if curve < 0 else 0.0
    reach = max(20, int(20 / spacing))
    around = power[max(top - reach, 1) : top + reach]
    return float((top + np.clip(shift, -0.5, 0.5)) * spacing), float(
        10 * (b - np.log(np.median(around) + 1e-300)) / np.log(10)
    )


def clear_bands(
    others: list[float], low: float, high: float, width: float, narrow: float
) -> Iterator[tuple[float, float]]:
    """Parts of [low, high] that are not within `width` of another carrier, nor within `narrow` of its harmonics."""
    bands = [(carrier, width) for carrier in others]
    bands += [(k * carrier, narrow) for carrier in others for k in range(2, int(high / carrier) + 1)]
    start = low
    for centre, reach in sorted(bands):
        if centre - reach > start:
            yield start, centre - reach
        start = max(start, centre + reach)
    if high > start:
        yield start, high


def find_carriers(
    data: h5py.Dataset, file: h5py.File, rate: float, traces: list[dict[str, Any]], width: float, tolerance: float
) -> list[dict[str, Any]]:
    """Say at which frequency each trace's carrier is, and how that is known."""
    frequencies, power = spectrum(data, rate, min(0.5, tolerance / 4))
    stated_hz = [trace["hz"] for trace in traces if trace["hz"] is not None]
    carriers = []
    for trace in traces:
        trace_power, label, stated = power[trace["column"]], trace["label"], trace["hz"]
        if trace["reference"] is not None:
            bins, recorded = spectrum(file[trace["reference"]], rate, min(0.5, tolerance / 4))
            hz, height = find_peak(bins, recorded[0], width, rate / 2)
            if height < DETECTABLE_DB:
                raise ValueError("%s: the recorded carrier holds no oscillation (peak %.1f dB)" % (label, height))
            source = "recorded"
        elif stated is not None:
            hz, height = find_peak(frequencies, trace_power, stated - tolerance, stated + tolerance)
            source = "fitted" if height >= DETECTABLE_DB else "stated"
            hz = hz if source == "fitted" else stated
        else:
            free = clear_bands(stated_hz, width, rate / 2 - width, width, tolerance)
            hz, height = max((find_peak(frequencies, trace_power, *part) for part in free), key=lambda one: one[1])
            if not height >= DETECTABLE_DB:
                raise ValueError(
                    "%s: no carrier is found between %.0f and %.0f Hz: the highest peak, at %.1f Hz, is %.1f dB "
                    "above the spectrum around it (expected %.0f dB); state it with `carriers`"
                    % (label, width, rate / 2 - width, hz, height, DETECTABLE_DB)
                )
            source = "detected"
        if stated is not None and source in ("recorded", "stated") and not abs(hz - stated) <= tolerance:
            raise ValueError(
                "%s: a carrier of %g Hz is stated, but the recorded one is at %.2f Hz; expected to agree within %g Hz"
                % (label, stated, hz, tolerance)
            )
        if source == "stated":
            peak_hz, level = find_peak(frequencies, trace_power, width, rate / 2 - width)
            explained = any(abs(peak_hz - k * item) <= tolerance for item in stated_hz for k in (1, 2, 3))
            if level >= DETECTABLE_DB + 10 and not explained:
                raise ValueError(
                    "%s: nothing is seen at the stated carrier of %g Hz, but %.0f dB at %.2f Hz; correct the settings"
                    % (label, stated, level, peak_hz)
                )
        at = find_peak(frequencies, trace_power, hz - tolerance, hz + tolerance)[1]
        carriers.append({**trace, "hz": hz, "source": source, "carrier_db": max(at, -999.0)})
    return carriers


def check_bands(traces: list[dict[str, Any]], rate: float, reach: float, apart: float) -> None:
    """Refuse carriers whose band leaves (0, Nyquist), and two of one detector that share a band."""
    for number, trace in enumerate(traces):
        if not reach < trace["hz"] < rate / 2 - reach:
            raise ValueError(
                "%s: the band of %.2f +- %.2f Hz does not lie between 0 and the Nyquist frequency, %.2f Hz"
                % (trace["label"], trace["hz"], reach, rate / 2)
            )
        for earlier in traces[:number]:
            if trace["column"] == earlier["column"] and abs(trace["hz"] - earlier["hz"]) < apart:
                raise ValueError(
                    "%s and %s are in one band of one detector: their carriers, %.2f and %.2f Hz, must be %.2f Hz "
                    "apart or more" % (earlier["label"], trace["label"], earlier["hz"], trace["hz"], apart)
                )


def compute(request: dict[str, Any], results: h5py.File, progress: Progress) -> dict[str, Any]:
    """Demodulate every trace; leaves ``traces``, float64, shape (samples, traces)."""
    params, located = request["params"], request["inputs"]["signal"]
    rate = float(located["rate"])
    lock_in = params["method"] == "lock_in"
    width = 2 * params["bandwidth_hz"] if lock_in else 2 / params["segment_s"]
    apart = 3 * params["bandwidth_hz"] if lock_in else 2 * width
    taps = low_pass(rate, params["bandwidth_hz"]) if lock_in else hann(rate, params["segment_s"])
    step = max(1, int(rate / params["rate_hz"] + 1e-9))
    with h5py.File(located["file"], "r", locking=False) as file:
        data = file[located["data"]]
        if len(taps) > data.shape[0]:
            raise ValueError(
                "the recording of %.2f s is shorter than the filter, %.2f s"
                % (data.shape[0] / rate, len(taps) / rate)
            )
        progress(0.0, "looking for carriers")
        check_bands([entry for entry in request["facts"]["traces"] if entry["hz"] is not None], rate, width, apart)
        traces = find_carriers(data, file, rate, request["facts"]["traces"], width, params["carrier_tolerance_hz"])
        check_bands(traces, rate, width, apart)
        watch = SampleCounter(1 if data.ndim == 1 else data.shape[1], max(2, round(params["flat_s"] * rate)))
        count = (data.shape[0] - 1) // step + 1
        dataset = results.create_dataset("traces", (count, len(traces)), "f8")
        dataset[:] = demodulate(file, data, traces, taps, step, rate, params["component"], watch, progress)
        scale = float(data.attrs.get("conversion", 1.0))
    dataset[:] = dataset[:] * scale if lock_in else (dataset[:] * scale) ** 2 / 2
    saturated, lost = watch.fractions()
    return {
        "rate": rate / step,
        "edge_s": len(taps) // 2 / rate,
        "traces": [
            {key: trace[key] for key in ("label", "column", "hz", "source", "carrier_db")} for trace in traces
        ],
        "saturation": [saturated[trace["column"]] for trace in traces],
        "dropouts": [lost[trace["column"]] for trace in traces],
    }


def demodulate(
    file: h5py.File,
    data: h5py.Dataset,
    traces: list[dict[str, Any]],
    taps: np.ndarray,
    step: int,
    rate: float,
    component: str,
    watch: SampleCounter,
    progress: Progress,
) -> np.ndarray:
    """Return the amplitude of each trace in the recording's own numbers, shape (samples, traces)."""
    total = data.shape[0]
    count = (total - 1) // step + 1
    trace_indices: dict[int, list[int]] = {}
    for k, trace in enumerate(traces):
        trace_indices.setdefault(trace["column"], []).append(k)
    banks = {
        column: FilterBank(taps, step, rate, [traces[k]["hz"] for k in ks]) for column, ks in trace_indices.items()
    }
    drives = [FilterBank(taps, step, rate, [trace["hz"]]) for trace in traces] if component == "in_phase" else []
    half, parts = len(taps) // 2, -(-len(taps) // step)
    rows = BLOCK_BYTES // (4 * (1 if data.ndim == 1 else data.shape[1]))
    outputs = max(1, rows // step)
    y = np.empty((count, len(traces)), dtype=np.complex128)
    phase = np.ones((count, len(drives)), dtype=np.complex128)
    counted = 0
    for first in range(0, count, outputs):
        number = min(outputs, count - first)
        start = first * step - half
        stop = start + (number + parts - 1) * step
        block = read_columns(data, start, stop)
        until = min(stop, total)
        watch.add(block[:, counted - start : until - start])
        counted = until
        for column, bank in banks.items():
            y[first : first + number, trace_indices[column]] = bank.apply(block[column], first, number)
        for k, drive in enumerate(drives):
            driven = read_columns(file[traces[k]["reference"]], start, stop)[0]
            phase[first : first + number, k] = drive.apply(driven, first, number)[:, 0]
        progress(0.1 + 0.9 * (first + number) / count, "samples")
    middle = np.arange(count) * step
    y[(middle < half) | (middle + half >= total)] = np.nan
    if not drives:
        return np.asarray(2 * np.abs(y))
    strength = np.abs(phase)
    on = strength > 0.1 * np.median(strength, axis=0)  # elsewhere the drive was off
    turned = np.where(on, y * np.conj(phase) / np.where(on, strength, 1), np.nan)
    delay = np.angle(np.nansum(turned, axis=0))  # of the electronics, constant
    return np.asarray(2 * np.real(turned * np.exp(-1j * delay)))
