"""Simulate fiber photometry with known truth, in the raw formats of a rig (``.mat``, TOML), pyPhotometry and CSV.

A fiber's signal is ``F = F0 b_s(t) (1 + d(t)) (1 + m(t)) + noise``, its isosbestic control
``C = C0 b_c(t) (1 + k m(t)) + noise``: d is dF/F, m is the motion shared by both, b_s and b_c are the bleaching, at
different speeds. In the rig's raw recording each is the amplitude of a carrier on one detector.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nwbpipe.simulate._common import Floats, require, smooth_noise

RIG_RATE = 2000.0
RIG_CARRIERS = {"left": (213.0, 331.0), "right": (267.0, 419.0)}
RISE_S, DECAY_S = 0.15, 0.8


@dataclass(frozen=True)
class PhotometryTruth:
    """The truth of a simulated photometry recording.

    Attributes
    ----------
    fibers : tuple of str
        Names of the n_fibers fibers.
    times : ndarray, float64, shape (n_samples,)
        Seconds in the reference clock.
    dff : ndarray, float64, shape (n_fibers, n_samples)
        dF/F of each fiber's signal.
    signal, control : ndarray, float64, shape (n_fibers, n_samples)
        Fluorescence without noise: the envelopes of the carriers.
    motion : ndarray, float64, shape (n_fibers, n_samples)
        Relative change of the light by motion.
    event_times : ndarray, float64
        Times of the events, each followed by a transient at once, in the reference clock.
    tau_s : ndarray, float64, shape (n_fibers, 2)
        Time constants of the bleaching of signal and control.
    noise : float
        Standard deviation of the noise of one raw sample.
    """

    fibers: tuple[str, ...]
    times: Floats
    dff: Floats
    signal: Floats
    control: Floats
    motion: Floats
    event_times: Floats
    tau_s: Floats
    noise: float


def simulate_photometry(
    rng: np.random.Generator,
    duration_s: float,
    rate: float,
    *,
    fibers: tuple[str, ...] = ("left", "right"),
    event_times: Floats | None = None,
    amplitude: float = 0.2,
    motion: float = 0.05,
    bleaching: float = 0.3,
    noise: float = 0.01,
) -> PhotometryTruth:
    """Simulate the traces of a recording.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random numbers.
    duration_s, rate : float
        Length in seconds, and sampling rate in Hz.
    fibers : tuple of str
        Names of the fibers.
    event_times : ndarray, optional
        Onsets of the transients in seconds; by default at random, about one in 4 s.
    amplitude, motion, bleaching : float
        dF/F of a transient, standard deviation of the motion, and bleached fraction.
    noise : float
        Standard deviation of the noise of one raw sample, relative to F0 = 1.

    Returns
    -------
    PhotometryTruth
    """
    times = np.arange(round(duration_s * rate)) / rate
    if event_times is None:
        gaps = rng.uniform(2.5, 5.5, int(duration_s / 2.5) + 1)
        event_times = np.cumsum(gaps)
    events = event_times[(event_times > 0.5) & (event_times < duration_s - 1.5)]
    lag = np.arange(0, 8 * DECAY_S, 1 / rate)
    kernel = (1 - np.exp(-lag / RISE_S)) * np.exp(-lag / DECAY_S)
    kernel /= kernel.max()
    rows: dict[str, list[Floats]] = {"dff": [], "signal": [], "control": [], "motion": []}
    taus = []
    for k in range(len(fibers)):
        dff = np.zeros(len(times))
        for onset, height in zip(np.rint(events * rate).astype(int), rng.uniform(0.7, 1.3, len(events)), strict=True):
            part = dff[onset : onset + len(kernel)]
            part += amplitude * (1 + 0.25 * k) * height * kernel[: len(part)]
        shift = motion * smooth_noise(rng, (len(times),), 0.4 * rate)
        tau = (duration_s * rng.uniform(0.4, 0.6), duration_s * rng.uniform(0.8, 1.2))
        signal_bleach, control_bleach = (
            1 - share * (1 - np.exp(-times / time_constant))
            for time_constant, share in zip(tau, (bleaching, 0.6 * bleaching), strict=True)
        )
        rows["dff"].append(dff)
        rows["motion"].append(shift)
        rows["signal"].append(signal_bleach * (1 + dff) * (1 + shift))
        rows["control"].append(0.7 * control_bleach * (1 + 0.8 * shift))
        taus.append(tau)
    stacked = {name: np.stack(several) for name, several in rows.items()}
    return PhotometryTruth(fibers, times, event_times=events, tau_s=np.array(taus), noise=noise, **stacked)


def write_photometry(
    mat: Path, settings: Path, rng: np.random.Generator, duration_s: float, events: Floats, *, offset_s: float
) -> PhotometryTruth:
    """Write a session's recording by the rig, with a transient after each event.

    Parameters
    ----------
    mat, settings : Path
        The files to write.
    rng : numpy.random.Generator
        Source of all randomness.
    duration_s : float
        End of the recording in the reference clock.
    events : ndarray
        Seconds in the reference clock.
    offset_s : float
        Reference time minus the rig's time, in seconds.
    """
    truth = simulate_photometry(
        rng, duration_s - offset_s, RIG_RATE, event_times=np.asarray(events) - offset_s, motion=0.02
    )
    write_rig(mat, settings, rng, truth)
    return replace(truth, times=truth.times + offset_s, event_times=truth.event_times + offset_s)


def compute_rig_channels(rng: np.random.Generator, truth: PhotometryTruth) -> Floats:
    """Return the rig's channels, shape (3 n_fibers, n_samples): for each fiber its detector and two carriers."""
    times, rows = truth.times, []
    for k, fiber in enumerate(truth.fibers):
        drives = []
        for hz in RIG_CARRIERS[fiber]:
            drives.append(np.sin(2 * np.pi * hz * times + rng.uniform(0, 2 * np.pi)))
        detector = truth.signal[k] * (1 + drives[0]) + truth.control[k] * (1 + drives[1])
        rows += [detector + truth.noise * rng.standard_normal(len(times)), *(2.5 + 2.5 * drive for drive in drives)]
    return np.stack(rows)


def write_rig(mat: Path, settings: Path, rng: np.random.Generator, truth: PhotometryTruth) -> None:
    """Write a recording in the format of the Sabatini lab's rig: ``data`` (channels × samples), and its TOML.

    Each fiber's detector has two colours: green at the first of its `RIG_CARRIERS`, the control at the second.
    """
    mat.parent.mkdir(parents=True, exist_ok=True)
    savemat = require("scipy.io", "scipy").savemat
    savemat(mat, {"data": compute_rig_channels(rng, truth).astype(np.float32)}, do_compression=True)
    with mat.open("r+b") as file:  # replaces the time that scipy writes
        file.write(b"MATLAB 5.0 MAT-file, written by nwbpipe.simulate".ljust(116))
    rate = 1 / float(truth.times[1] - truth.times[0])
    lines = [
        "[Processing_Parameters]",
        f"sampling_frequency = {rate:.9g}",
        "",
        "[Signal_Indices]",
        f"total_channels = {3 * len(truth.fibers)}",
        "",
        "[Fiber]",
        'light_source = "Plexon LED"',
    ]
    for k, fiber in enumerate(truth.fibers):
        green, control = RIG_CARRIERS[fiber]
        side = -1 if fiber == "left" else 1
        lines += [
            "",
            f"[Processing_Parameters.{fiber}]",
            f"carrier_frequency_g = {green}",
            f"carrier_frequency_iso = {control}",
            "",
            f"[Signal_Indices.{fiber}]",
            f"photom_g = {3 * k}",
            f"photom_iso = {3 * k}",
            f"carrier_g = {3 * k + 1}",
            f"carrier_iso = {3 * k + 2}",
            "",
            f"[Fiber.implantation.{fiber}]",
            "excitation_wavelength = {green = 465, iso = 405}",
            "emission_wavelength = {green = 525, iso = 525}",
            'brain_region = "striatum"',
            f"ap = 1.0\nml = {1.5 * side}\ndv = -2.5",
            'ap_ref = "bregma"\nml_ref = "bregma"\ndv_ref = "dura"',
            "",
            f"[VirusInjection.{fiber}]",
            'virus = "AAV9-hSyn-dLight1.3b"',
            'sensor_protein = {green = "dLight1.3b", iso = "dLight1.3b"}',
            "volume = 300",
            f'brain_region = "striatum"\nap = 1.0\nml = {1.5 * side}\ndv = -2.6',
            'ap_ref = "bregma"\nml_ref = "bregma"\ndv_ref = "dura"',
        ]
    settings.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_ppd(path: Path, rng: np.random.Generator, truth: PhotometryTruth) -> None:
    """Write the first fiber in the format of pyPhotometry (2EX_1EM_pulsed): signal, control, a pulse per event.

    The second excitation is sampled half a period after the first; digital input 1 is high for 50 ms at an event.
    """
    rate = 1 / float(truth.times[1] - truth.times[0])
    volts_per_division = 3.3 / 2**15
    header = {
        "subject_ID": "sim000",
        "date_time": "2024-05-01T10:00:00",
        "end_time": "2024-05-01T11:00:00",
        "mode": "2EX_1EM_pulsed",
        "sampling_rate": round(rate),
        "volts_per_division": [volts_per_division, volts_per_division],
        "LED_current": [10, 10],
        "version": "1.0",
        "n_analog_signals": 2,
        "n_digital_signals": 2,
    }
    later = truth.times + 0.5 / rate
    traces = [truth.signal[0], np.interp(later, truth.times, truth.control[0])]
    noise = truth.noise * rng.standard_normal((2, len(truth.times)))
    counts = np.clip(np.rint((np.stack(traces) + noise) / volts_per_division), 0, 2**15 - 1).astype(np.uint16)
    since = (
        truth.times
        - truth.event_times[np.clip(np.searchsorted(truth.event_times, truth.times, "right") - 1, 0, None)]
    )
    pulse = np.stack([(since >= 0) & (since < 0.05), np.zeros(len(since), dtype=bool)])
    words = (counts << 1) | pulse.astype(np.uint16)
    content = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(content).to_bytes(2, "little") + content + words.T.astype("<u2").tobytes())


def write_csv(path: Path, rng: np.random.Generator, truth: PhotometryTruth) -> None:
    """Write a table with the columns time, ``<fiber>_signal`` and ``<fiber>_control``."""
    columns = {"time": truth.times}
    for k, fiber in enumerate(truth.fibers):
        for name, trace in (("signal", truth.signal[k]), ("control", truth.control[k])):
            columns[f"{fiber}_{name}"] = trace + truth.noise * rng.standard_normal(len(truth.times))
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.stack(list(columns.values()), axis=1)
    np.savetxt(path, rows, fmt="%.9g", delimiter=",", header=",".join(columns), comments="")
