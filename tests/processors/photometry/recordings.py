"""Recordings for the compute modules, in plain HDF5, and their requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbpipe.processors.photometry import DemodulateParams, EventAlignedParams, PhotometryDffParams, TransientsParams
from nwbpipe.processors.photometry import _demodulate_compute as demodulating

RATE = 2000.0


def silent(fraction: float, text: str) -> None:
    """Take progress and say nothing."""


def envelopes(rng: np.random.Generator, count: int, duration_s: float, rate: float = RATE) -> np.ndarray:
    """Smooth positive envelopes, all below 8 Hz, shape (count, samples)."""
    t = np.arange(round(duration_s * rate)) / rate
    found = []
    for _ in range(count):
        waves = [
            rng.uniform(0.05, 0.1) * np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in rng.uniform(0.05, 7, 5)
        ]
        found.append(1 + sum(waves))
    return np.array(found)


def modulated(envelope: np.ndarray, hz: float, rate: float = RATE, phase: float = 0.3) -> np.ndarray:
    """Light that a sine drives from 0 to twice its mean."""
    return np.asarray(envelope * (1 + np.sin(2 * np.pi * hz * np.arange(len(envelope)) / rate + phase)))


def demodulate(
    folder: Path,
    raw: np.ndarray,
    traces: list[dict[str, Any]],
    *,
    rate: float = RATE,
    drives: Any = None,
    **params: Any,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Run the compute module on raw (samples,) or (samples, columns); return traces and summary."""
    path = folder / "raw.h5"
    with h5py.File(path, "w") as file:
        file["data"] = raw
        for name, drive in (drives or {}).items():
            file[name] = drive
    whole = [{"label": f"trace {k}", "hz": None, "reference": None, **one} for k, one in enumerate(traces)]
    signal = {
        "file": str(path),
        "data": "data",
        "rate": rate,
        "starting_time": 0.0,
        "timestamps": None,
        "path": "/raw",
    }
    values = DemodulateParams(**params).model_dump(mode="json")
    request = {"inputs": {"signal": signal}, "params": values, "facts": {"traces": whole}}
    with h5py.File(folder / "results.h5", "w") as results:
        summary = demodulating.compute(request, results, silent)
        return results["traces"][()], summary


def series(folder: Path, name: str, values: np.ndarray, times: np.ndarray | None = None, rate: float = 100.0) -> dict:
    """Write a series, and say where it is as the engine does."""
    path = folder / f"{name}.h5"
    with h5py.File(path, "w") as file:
        file["data"] = values
        if times is not None:
            file["timestamps"] = times
    return {
        "file": str(path),
        "path": f"/{name}",
        "data": "data",
        "timestamps": None if times is None else "timestamps",
        "rate": rate if times is None else None,
        "starting_time": 0.0 if times is None else None,
    }


def run(module: Any, folder: Path, inputs: dict[str, Any], facts: dict[str, Any], **params: Any) -> Any:
    """Run one of the other compute modules; return its arrays and summary."""
    kinds = {"_dff": PhotometryDffParams, "_transients": TransientsParams, "_event_aligned": EventAlignedParams}
    kind = next(kind for name, kind in kinds.items() if module.__name__.endswith(f"{name}_compute"))
    request = {"inputs": inputs, "params": kind(**params).model_dump(mode="json"), "facts": facts}
    with h5py.File(folder / "results.h5", "w") as results:
        summary = module.compute(request, results, silent)
        return {name: item[()] for name, item in results.items()}, summary
