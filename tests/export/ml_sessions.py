"""Sessions of the decoding example, and data sets of them."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
NAMES = ["sub-M1_ses-day1", "sub-M1_ses-day2", "sub-M2_ses-day3", "sub-M3_ses-day3"]


def load_example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = load_example("decode_speed")


def declare(**changes: Any) -> dict[str, Any]:
    declaration = copy.deepcopy(example.DECLARATION)
    declaration["split"] = {"by": "block", "block": 6.0, "gap": 1.0, "train": 0.6, "valid": 0.2, "test": 0.2}
    for group, values in changes.items():
        declaration[group] = {**declaration[group], **values} if group == "dataset" else values
    return declaration


def declare_trials(**inputs: Any) -> dict[str, Any]:
    return {
        "nwbpipe": 1,
        "dataset": {"name": "choice", "window": [-0.4, 1.1], "around": "trials.go_cue", "bin": 0.1},
        "inputs": {"spikes": {"units": "units", "form": "events"}, **inputs},
        "targets": {"choice": {"column": "trials.choice"}, "start": {"column": "trials.start_time"}},
        "split": {"by": "session", "assign": {"test": ["M3/day3"]}},
    }
