"""Simulate a Neuropixels 1.0 recording with known units, in the format of SpikeGLX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbpipe.simulate._common import Floats, Scale, require
from nwbpipe.simulate._dense_probe import BEFORE, DenseProbeSettings, simulate_dense_probe

RATE_HZ = 30_000.0
PART_NUMBER = "NP1000"
AP_GAIN, LF_GAIN = 500, 250
AI_RANGE_V = 0.6
#: NP1.0 has a 10-bit converter: 512 steps to the positive end of the range.
GAIN_TO_UV = AI_RANGE_V / 512 / AP_GAIN * 1e6
NOISE_UV = 10.0
FIRING_RATE_HZ = 9.0
#: SpikeGLX keeps the 1 Hz sync square wave in bit 6 of the SY channel. The pulses of other devices are in bits of it
#: that a real imec card uses for its status: a rig has an NI card for them.
SYNC_BIT = 6
PULSE_BITS = {"face": 0, "behavior": 1}
PULSE_S = 0.002
RUN = "run1_g0"
_MS_BEFORE, _MS_AFTER = 1.0, 2.5


@dataclass(frozen=True)
class EphysTruth:
    """The truth of the simulated probe recording.

    Attributes
    ----------
    spike_samples : tuple of ndarray, int64
        For each unit, the sample of each spike's trough.
    spike_times : tuple of ndarray, float64
        The same in seconds, in the reference clock (which is the probe's).
    unit_locations : ndarray, float64, shape (n_units, 3)
        Position of each unit in micrometers: x, y (along the shank), z (distance from the probe).
    templates : ndarray, float32, shape (n_units, n_samples, n_channels)
        Mean waveform of each unit in microvolts, of tissue at rest.
    channel_locations : ndarray, float64, shape (n_channels, 2)
        Position of each contact in micrometers.
    rate : float
        Sampling rate in Hz.
    gain_to_uv : float
        Microvolts to one step of the stored int16.
    noise_uv : float
        Standard deviation of the noise in microvolts.
    sync_times : ndarray, float64
        Rising edges of the 1 Hz sync wave in seconds, in the reference clock.
    drift_um : ndarray, float64
        Displacement of the tissue along the probe at `sync_times`, in micrometers.
    """

    spike_samples: tuple[NDArray[np.int64], ...]
    spike_times: tuple[Floats, ...]
    unit_locations: Floats
    templates: NDArray[np.float32]
    channel_locations: Floats
    rate: float
    gain_to_uv: float
    noise_uv: float
    sync_times: Floats
    drift_um: Floats


def write_ephys(
    folder: Path, rng: np.random.Generator, scale: Scale, start_time: str, pulses: dict[str, Floats] | None = None
) -> EphysTruth:
    """Write `folder`/run1_g0/run1_g0_imec0/run1_g0_t0.imec0.ap.{bin,meta}.

    Tissue that drifts is simulated by :func:`simulate_dense_probe`, tissue at rest by SpikeInterface
    (:func:`spikeinterface.core.generate_ground_truth_recording`). Units are spread along the shank, so that a
    sorter can find all of them.

    Parameters
    ----------
    folder : Path
        Parent folder of the run's folder.
    rng : numpy.random.Generator
        Source of all randomness.
    scale : Scale
        Duration, channels, units.
    start_time : str
        ``fileCreateTime`` of the meta file (ISO 8601, without a zone, as SpikeGLX writes it).
    pulses : dict, optional
        For each of `PULSE_BITS`: times of the device's pulses, in seconds.
    """
    simulated = _simulate_drift(rng, scale) if scale.drift_um else _simulate_rest(rng, scale)
    stem = folder / RUN / f"{RUN}_imec0" / f"{RUN}_t0.imec0.ap"
    stem.parent.mkdir(parents=True, exist_ok=True)
    binary, meta = Path(f"{stem}.bin"), Path(f"{stem}.meta")
    _write_binary(binary, simulated, pulses or {})
    meta.write_text(format_meta(binary, simulated.n_samples, make_probe(scale.n_channels), start_time), "ascii")
    sync_times = np.arange(0.5, scale.duration_s, 1.0)
    return EphysTruth(
        spike_samples=simulated.trains,
        spike_times=tuple(train / RATE_HZ for train in simulated.trains),
        unit_locations=simulated.locations,
        templates=np.asarray(simulated.templates, dtype=np.float32),
        channel_locations=simulated.contacts,
        rate=RATE_HZ,
        gain_to_uv=GAIN_TO_UV,
        noise_uv=NOISE_UV,
        sync_times=sync_times,
        drift_um=simulated.displacement_um(sync_times),
    )


@dataclass(frozen=True)
class _Simulated:
    """A simulated recording, and the truth about it."""

    n_samples: int
    read_microvolts: Callable[[int, int], NDArray[Any]]
    trains: tuple[NDArray[np.int64], ...]
    locations: Floats
    templates: NDArray[Any]
    contacts: Floats
    displacement_um: Callable[[Floats], Floats]


def _simulate_drift(rng: np.random.Generator, scale: Scale) -> _Simulated:
    """Simulate tissue that moves along the probe once up and down."""
    settings = DenseProbeSettings(
        n_channels=scale.n_channels, duration_s=scale.duration_s, n_units=scale.n_units,
        firing_rate_hz=FIRING_RATE_HZ, noise_uv=NOISE_UV, common_uv=0.0,
        drift_um=scale.drift_um, drift_period_s=scale.duration_s,
    )  # fmt: skip
    truth = simulate_dense_probe(settings, seed=_draw_seed(rng))
    first = BEFORE - round(_MS_BEFORE * RATE_HZ / 1e3)
    templates = truth.templates_uv()[:, first : first + round((_MS_BEFORE + _MS_AFTER) * RATE_HZ / 1e3)]
    return _Simulated(
        len(truth.samples), lambda start, stop: truth.samples[start:stop] * truth.gain_to_uv, truth.spike_samples,
        truth.unit_locations, templates, truth.channel_locations, truth.displacement_um,
    )  # fmt: skip


def _simulate_rest(rng: np.random.Generator, scale: Scale) -> _Simulated:
    """Simulate tissue at rest."""
    core: Any = require("spikeinterface.core", "spikeinterface")
    generate: Any = require("spikeinterface.core.generate", "spikeinterface")
    probe = make_probe(scale.n_channels)
    contacts = np.asarray(probe.contact_positions, dtype=np.float64)
    locations = _draw_unit_locations(rng, contacts, scale.n_units)
    templates = generate.generate_templates(
        contacts,
        locations,
        RATE_HZ,
        _MS_BEFORE,
        _MS_AFTER,
        seed=_draw_seed(rng),
        unit_params={"alpha": rng.uniform(220.0, 400.0, scale.n_units), "spatial_decay": (22.0, 32.0)},
        mode="sphere",
    )
    recording, sorting = core.generate_ground_truth_recording(
        durations=[scale.duration_s],
        sampling_frequency=RATE_HZ,
        num_units=scale.n_units,
        probe=probe,
        templates=templates,
        ms_before=_MS_BEFORE,
        ms_after=_MS_AFTER,
        generate_sorting_kwargs={"firing_rates": FIRING_RATE_HZ, "refractory_period_ms": 4.0},
        noise_kwargs={"noise_levels": NOISE_UV, "strategy": "on_the_fly"},
        seed=_draw_seed(rng),
    )
    trains = tuple(
        np.asarray(sorting.get_unit_spike_train(unit, segment_index=0), dtype=np.int64) for unit in sorting.unit_ids
    )
    return _Simulated(
        int(recording.get_num_samples()), lambda start, stop: recording.get_traces(start_frame=start, end_frame=stop),
        trains, locations, templates, contacts, np.zeros_like,
    )  # fmt: skip


def _draw_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def make_probe(n_channels: int) -> Any:
    """Return the lowest `n_channels` contacts of a Neuropixels 1.0 probe (bank 0)."""
    tools: Any = require("probeinterface.neuropixels_tools", "probeinterface")
    probe = tools.build_neuropixels_probe(PART_NUMBER).get_slice(np.arange(n_channels))
    probe.set_device_channel_indices(np.arange(n_channels))
    return probe


def _draw_unit_locations(rng: np.random.Generator, contacts: Floats, n_units: int) -> Floats:
    """Draw units at even, jittered steps along the shank, a few micrometers in front of it."""
    low, high = contacts.min(axis=0), contacts.max(axis=0)
    y = np.linspace(low[1] + 8.0, high[1] - 8.0, n_units) + rng.uniform(-3.0, 3.0, n_units)
    x = rng.uniform(low[0], high[0], n_units)
    return np.column_stack([x, y, rng.uniform(6.0, 14.0, n_units)])


def _write_binary(path: Path, simulated: _Simulated, pulses: dict[str, Floats]) -> None:
    """Write int16 samples, the sync word as the last channel; one second at a time, to bound memory."""
    step, n_samples = int(RATE_HZ), simulated.n_samples
    word = np.zeros(n_samples, dtype="<i2")
    for device, times in pulses.items():
        first = np.rint(times * RATE_HZ).astype(np.int64)
        during = (first[:, None] + np.arange(int(PULSE_S * RATE_HZ))).ravel()
        word[during[(during >= 0) & (during < n_samples)]] |= 1 << PULSE_BITS[device]
    with path.open("wb") as file:
        for start in range(0, n_samples, step):
            stop = min(start + step, n_samples)
            microvolts = simulated.read_microvolts(start, stop)
            block = np.zeros((stop - start, microvolts.shape[1] + 1), dtype="<i2")
            # The converter has 10 bits: what exceeds its range is clipped, as in a real recording.
            block[:, :-1] = np.clip(np.rint(microvolts / GAIN_TO_UV), -512, 511)
            high = (np.arange(start, stop) % step) >= step // 2
            block[:, -1] = (high.astype("<i2") << SYNC_BIT) | word[start:stop]
            file.write(block.tobytes())


def format_meta(binary: Path, n_samples: int, probe: Any, start_time: str) -> str:
    """Return the .meta file, with the keys that SpikeGLX 20230905 writes and readers use."""
    n_channels = probe.get_contact_count()
    tools: Any = require("probeinterface.neuropixels_tools", "probeinterface")
    full = tools.build_neuropixels_probe(PART_NUMBER)
    shank_x = full.contact_positions[:384, 0] + 11.0  # snsGeomMap counts x from the shank's left edge
    shank_y = full.contact_positions[:384, 1]
    saved = range(n_channels)
    imro = "".join(f"({channel} 0 0 {AP_GAIN} {LF_GAIN} 1)" for channel in range(384))
    names = "".join(f"(AP{channel};{channel}:{channel})" for channel in saved)
    geometry = "".join(f"(0:{shank_x[channel]:g}:{shank_y[channel]:g}:1)" for channel in saved)
    sites = "".join(f"(0:{channel % 2}:{channel // 2}:1)" for channel in saved)
    entries = {
        "acqApLfSy": "384,384,1",
        "appVersion": "20230905",
        "fileCreateTime": start_time,
        "fileName": f"D:/data/{RUN}/{RUN}_imec0/{binary.name}",
        "fileSizeBytes": binary.stat().st_size,
        "fileTimeSecs": n_samples / RATE_HZ,
        "firstSample": 0,
        "gateMode": "Immediate",
        "imAiRangeMax": AI_RANGE_V,
        "imAiRangeMin": -AI_RANGE_V,
        "imCalibrated": "true",
        "imDatApi": "3.62.1",
        "imDatBs_fw": "2.0.169",
        "imDatHs_pn": "NP2_HS_30",
        "imDatPrb_dock": 1,
        "imDatPrb_pn": PART_NUMBER,
        "imDatPrb_port": 1,
        "imDatPrb_slot": 2,
        "imDatPrb_sn": "18005100001",
        "imDatPrb_type": 0,
        "imLEDEnable": "false",
        "imLowLatency": "false",
        "imMaxInt": 512,
        "imRoFile": "",
        "imSampRate": f"{RATE_HZ:g}",
        "imStdby": "",
        "imSvyMaxBnk": -1,
        "imTipLength": 206,
        "imTrgRising": "true",
        "imTrgSource": 0,
        "nDataDirs": 1,
        "nSavedChans": n_channels + 1,
        "snsApLfSy": f"{n_channels},0,1",
        "snsSaveChanSubset": f"0:{n_channels - 1},768",
        "syncImInputSlot": 2,
        "syncSourceIdx": 3,
        "syncSourcePeriod": 1,
        "trigMode": "Immediate",
        "typeImEnabled": 1,
        "typeNiEnabled": 0,
        "typeObEnabled": 0,
        "typeThis": "imec",
        "userNotes": "simulated by nwbpipe",
        "~imroTbl": f"(0,384){imro}",
        "~snsChanMap": f"(384,384,1){names}(SY0;768:{n_channels})",
        "~snsGeomMap": f"({PART_NUMBER},1,0,70){geometry}",
        "~snsShankMap": f"(1,2,480){sites}",
    }
    return "".join(f"{key}={value}\n" for key, value in entries.items())
