"""Shared helpers of all streams: random numbers, clocks, lazy imports of the writers."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nwbpipe.errors import ToolMissingError

Size = Literal["demo", "small"]
Floats = NDArray[np.float64]

#: Each stream draws from its own child of the seed, so changing one stream leaves the others as they are.
STREAMS = ("imaging", "ephys", "face", "pose", "behavior", "photometry")


@dataclass(frozen=True)
class Scale:
    """Size of a session."""

    duration_s: float
    frame_shape: tuple[int, int]
    n_cells: int
    n_channels: int
    n_units: int
    n_trials: int
    drift_um: float = 0.0  #: amplitude of the tissue's drift along the probe


SCALES: dict[Size, Scale] = {
    "demo": Scale(46.0, (256, 256), 60, 64, 10, 12, drift_um=10.0),
    "small": Scale(4.0, (64, 64), 5, 16, 4, 3),
}

#: t_reference = t_source * (1 + drift_ppm * 1e-6) + offset_s, for each clock of the session. The probe's clock is the
#: reference.
OFFSETS_S = {"probe": 0.0, "scope": 0.85, "face": -312.25, "behavior": -17.5, "photometry": 0.4}
DRIFTS_PPM = {"probe": 0.0, "scope": 0.0, "face": 42.0, "behavior": -85.0, "photometry": 0.0}


def to_clock(times: Floats, clock: str) -> Floats:
    """Convert times of the reference clock to another clock of the session, in seconds."""
    return (times - OFFSETS_S[clock]) / (1.0 + DRIFTS_PPM[clock] * 1e-6)


def to_reference(times: Floats, clock: str) -> Floats:
    """Convert times of a clock of the session to the reference clock, in seconds."""
    return times * (1.0 + DRIFTS_PPM[clock] * 1e-6) + OFFSETS_S[clock]


def make_generator(seed: int, stream: str) -> np.random.Generator:
    """Return the random generator of a stream: numpy's PCG64 from a child of `seed`."""
    child = np.random.SeedSequence(seed, spawn_key=(STREAMS.index(stream),))
    return np.random.default_rng(child)


def require(module: str, package: str) -> ModuleType:
    """Import a package that only the simulation needs; its error names the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ToolMissingError(
            f"the simulated session needs the package {package}",
            expected=f"{package} to be installed",
            found=str(error),
            hint="pip install 'nwbpipe[demo]'",
        ) from error


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float | tuple[float, ...]) -> Floats:
    """Return Gaussian-filtered white noise with mean 0 and standard deviation 1."""
    ndimage: Any = require("scipy.ndimage", "scipy")
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="reflect")
    field -= field.mean()
    return np.asarray(field / field.std(), dtype=np.float64)
