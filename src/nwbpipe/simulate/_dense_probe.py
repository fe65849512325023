"""Simulate a dense probe whose tissue drifts, with dead and noisy channels and artefacts; numpy alone.

Waveforms are functions of continuous time and place. A converter that samples its channels one after another
(Neuropixels: `inter_sample_shift`), and a unit that moves, are therefore exact, not interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Samples = NDArray[np.int16]

RATE_HZ = 30_000.0
#: Microvolts to one step of the samples.
GAIN_TO_UV = 0.5
#: Neuropixels 1.0: an ADC samples 12 channels in 13 cycles.
_CHANNELS_PER_ADC, _ADC_CYCLES = 12, 13
#: Samples of a waveform before its trough, and from it on.
BEFORE, _AFTER = 45, 75
_DECAY_UM = 28.0
_REFRACTORY_S = 0.004
#: Displacements are rounded to this before a waveform is drawn.
_STEP_UM = 0.25


@dataclass(frozen=True)
class DenseProbeSettings:
    """Settings of a simulated dense probe.

    Parameters
    ----------
    n_channels : int
        Lowest contacts of a Neuropixels 1.0 probe.
    duration_s : float
    n_units : int
    firing_rate_hz : float
        Each unit's rate is drawn from 0.6 to 1.4 times this.
    noise_uv : float
        Standard deviation of the noise of each channel.
    common_uv : float
        Standard deviation of a band-limited signal (0.5 to 5 kHz) that all working channels share.
    drift_um : float
        Amplitude of the drift, a triangle wave along the probe; the tissue goes up first.
    drift_period_s : float
    dead, noisy : tuple of int
        Channels that record only a tenth of the noise, and channels with eight times the noise.
    artifacts_s : tuple of float
        Starts of artefacts: 20 ms of noise of 2 mV on every working channel, the same on all.
    """

    n_channels: int = 64
    duration_s: float = 20.0
    n_units: int = 16
    firing_rate_hz: float = 9.0
    noise_uv: float = 8.0
    common_uv: float = 6.0
    drift_um: float = 0.0
    drift_period_s: float = 40.0
    dead: tuple[int, ...] = ()
    noisy: tuple[int, ...] = ()
    artifacts_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class DenseProbeTruth:
    """The recording, and the truth about it.

    Attributes
    ----------
    samples : ndarray, int16, shape (n_samples, n_channels)
        In steps of `gain_to_uv`.
    channel_locations : ndarray, float64, shape (n_channels, 2)
        Positions of the contacts in micrometers.
    inter_sample_shift : ndarray, float64, shape (n_channels,)
        Delay of each channel's samples, in samples (0 to 1).
    spike_samples : tuple of ndarray, int64
        For each unit, the sample of each spike's trough.
    unit_locations : ndarray, float64, shape (n_units, 3)
        Positions in micrometers, without drift: x, y (along the probe), z (distance from it).
    amplitudes_uv : ndarray, float64, shape (n_units,)
        Depth of the trough at the unit's own place.
    widths : ndarray, float64, shape (n_units,)
        Duration of each unit's waveform, as a factor.
    artifacts : ndarray, float64, shape (n_artifacts, 2)
        Start and end in seconds.
    settings : DenseProbeSettings
    """

    samples: Samples
    channel_locations: Floats
    inter_sample_shift: Floats
    spike_samples: tuple[NDArray[np.int64], ...]
    unit_locations: Floats
    amplitudes_uv: Floats
    widths: Floats
    artifacts: Floats
    settings: DenseProbeSettings
    rate: float = RATE_HZ
    gain_to_uv: float = field(default=GAIN_TO_UV)

    def templates_uv(self) -> Floats:
        """Return each unit's waveform at rest in microvolts, shape (n_units, n_samples, n_channels)."""
        return np.array(
            [
                _draw_waveform(location, amplitude, width, self.channel_locations, self.inter_sample_shift)
                for location, amplitude, width in zip(
                    self.unit_locations, self.amplitudes_uv, self.widths, strict=True
                )
            ]
        )

    def displacement_um(self, times: Floats) -> Floats:
        """Return the displacement of the tissue along the probe at these times (seconds), in micrometers."""
        return _displacement(times, self.settings)


def simulate_dense_probe(settings: DenseProbeSettings | None = None, *, seed: int = 0) -> DenseProbeTruth:
    """Simulate a recording of a dense probe.

    Parameters
    ----------
    settings : DenseProbeSettings, optional
    seed : int

    Returns
    -------
    DenseProbeTruth

    Examples
    --------
    >>> truth = simulate_dense_probe(DenseProbeSettings(n_channels=8, duration_s=0.5, n_units=2))
    >>> truth.samples.shape
    (15000, 8)
    """
    settings = settings or DenseProbeSettings()
    rng = np.random.default_rng(seed)
    contacts = neuropixels_locations(settings.n_channels)
    shifts = (np.arange(settings.n_channels) % (2 * _CHANNELS_PER_ADC)) // 2 / _ADC_CYCLES
    units = _draw_units(rng, contacts, settings.n_units)
    amplitudes = rng.uniform(170.0, 320.0, settings.n_units)
    widths = rng.uniform(0.8, 1.5, settings.n_units)
    n_samples = round(settings.duration_s * RATE_HZ)
    artifacts = np.array([(start, start + 0.02) for start in settings.artifacts_s]).reshape(-1, 2)
    trains = tuple(_draw_train(rng, settings, n_samples) for _ in range(settings.n_units))
    working = ~np.isin(np.arange(settings.n_channels), settings.dead)
    samples = _draw_noise(rng, settings, n_samples, shifts, working, artifacts)
    for unit, train in enumerate(trains):
        drift = np.round(_displacement(train / RATE_HZ, settings) / _STEP_UM) * _STEP_UM
        for step in np.unique(drift):
            template = _draw_waveform(units[unit] + [0, step, 0], amplitudes[unit], widths[unit], contacts, shifts)
            visible = np.flatnonzero(working & (np.abs(template).max(axis=0) > 1.0))
            steps = np.rint(template[:, visible] / GAIN_TO_UV).astype("int16")
            for sample in train[drift == step]:
                samples[sample - BEFORE : sample + _AFTER, visible] += steps
    return DenseProbeTruth(samples, contacts, shifts, trains, units, amplitudes, widths, artifacts, settings)


def neuropixels_locations(n_channels: int) -> Floats:
    """Return the positions of the lowest contacts of a Neuropixels 1.0 probe, in micrometers."""
    channel = np.arange(n_channels)
    return np.column_stack([np.array([16.0, 48.0, 0.0, 32.0])[channel % 4], 20.0 * (channel // 2)])


def _displacement(times: Floats, settings: DenseProbeSettings) -> Floats:
    phase = (np.asarray(times, dtype=np.float64) / settings.drift_period_s + 0.25) % 1.0
    return settings.drift_um * (1.0 - 4.0 * np.abs(phase - 0.5))


def _draw_units(rng: np.random.Generator, contacts: Floats, n_units: int) -> Floats:
    low, high = contacts.min(axis=0), contacts.max(axis=0)
    depth = np.linspace(low[1] + 10.0, high[1] - 10.0, n_units) + rng.uniform(-4.0, 4.0, n_units)
    return np.column_stack([rng.uniform(low[0], high[0], n_units), depth, rng.uniform(6.0, 14.0, n_units)])


def _draw_train(rng: np.random.Generator, settings: DenseProbeSettings, n_samples: int) -> NDArray[np.int64]:
    rate = settings.firing_rate_hz * rng.uniform(0.6, 1.4)
    count = int(settings.duration_s * rate * 1.5) + 20
    intervals = _REFRACTORY_S + rng.exponential(max(1e-3, 1.0 / rate - _REFRACTORY_S), count)
    train = np.rint(np.cumsum(intervals) * RATE_HZ).astype(np.int64)
    return train[(train > BEFORE) & (train < n_samples - _AFTER)]


def _draw_waveform(place: Floats, amplitude: float, width: float, contacts: Floats, shifts: Floats) -> Floats:
    """Return the waveform on each contact in microvolts, each channel sampled at its own moment."""
    distance = np.sqrt(np.sum((contacts - place[:2]) ** 2, axis=1) + place[2] ** 2)
    milliseconds = ((np.arange(-BEFORE, _AFTER)[:, None] + shifts) / RATE_HZ * 1e3) / width
    trough = -np.exp(-0.5 * (milliseconds / 0.12) ** 2)
    rebound = 0.35 * np.exp(-0.5 * ((milliseconds - 0.45) / 0.22) ** 2)
    waveform: Floats = amplitude * (trough + rebound) * np.exp(-distance / _DECAY_UM)
    return waveform


def _draw_noise(
    rng: np.random.Generator,
    settings: DenseProbeSettings,
    n_samples: int,
    shifts: Floats,
    working: NDArray[np.bool_],
    artifacts: Floats,
) -> Samples:
    samples = np.empty((n_samples, settings.n_channels), dtype="int16")
    size = np.full(settings.n_channels, settings.noise_uv)
    size[list(settings.dead)] *= 0.1
    size[list(settings.noisy)] *= 8.0
    frequencies, phases = rng.uniform(500.0, 5000.0, 24), rng.uniform(0.0, 2 * np.pi, 24)
    for first in range(0, n_samples, int(RATE_HZ)):
        last = min(first + int(RATE_HZ), n_samples)
        block = rng.standard_normal((last - first, settings.n_channels), dtype="float32") * size.astype("float32")
        if settings.common_uv:
            turns = 2j * np.pi * frequencies / RATE_HZ
            wave = np.exp(np.outer(np.arange(first, last), turns) + 1j * phases) @ np.exp(np.outer(turns, shifts))
            block[:, working] += settings.common_uv * np.sqrt(2 / 24) * wave.real[:, working]
        for start, end in artifacts:
            begin, stop = (round(time * RATE_HZ) for time in (start, end))
            inside = np.arange(max(begin, first), min(stop, last))
            if len(inside):
                burst = np.random.default_rng(begin).normal(0.0, 2000.0, stop - begin)
                block[np.ix_(inside - first, np.flatnonzero(working))] += burst[inside - begin, None]
        samples[first:last] = np.clip(np.rint(block / GAIN_TO_UV), -16384, 16383)
    return samples
