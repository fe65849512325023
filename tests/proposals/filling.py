"""Fill in a proposal as a person would."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

VALUES = {
    "subject_id": "m1",
    "species": "Mus musculus",
    "sex": "U",
    "age": "P90D",
    "session_description": "A test.",
    "sampling_frequency": "10",
    "unit": "volts",
}


def fill(text: str, values: Mapping[str, str] | None = None) -> str:
    """Replace each mark by the value of its key, and give a start its zone.

    `values` may name clocks: ``scope.offset_s``.
    """
    values = {**VALUES, **(values or {})}
    lines, above = [], ""
    for line in text.splitlines():
        key = line.strip().partition(":")[0]
        if re.fullmatch(r"  \w+:", line):
            above = key
        if key == "session_start_time":
            line = re.sub(r"(\d) FILL IN", r"\1-04:00", line)
            line = line.replace("FILL IN", "2024-05-01T10:00:00-04:00", 1)
        if re.search(r": FILL IN(   #|$)", line):
            line = line.replace("FILL IN", values.get(f"{above}.{key}") or values[key], 1)
        lines.append(line)
    return "\n".join(lines) + "\n"


def write_filled(path: Path, text: str, values: Mapping[str, str] | None = None) -> Path:
    path.write_text(fill(text, values), encoding="utf-8")
    return path
