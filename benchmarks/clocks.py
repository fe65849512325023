"""Clocks: how long it takes to align millions of pulses, and what memory."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks._report import spread, table
from benchmarks._watch import watch

LIMIT_S, LIMIT_GB = 5.0, 2.0


def run(folder: Path, *, quick: bool) -> None:
    rows = []
    for count in (100_000,) if quick else (1_000_000, 10_000_000):
        seconds, memory, figures = [], [], ""
        for repeat in range(1 if quick else 3):
            out = folder / f"{count}-{repeat}.txt"
            child = [sys.executable, "-m", "benchmarks._clocks_child", str(count), str(repeat), str(out)]
            measured = watch(child)
            took, figures = out.read_text().split(" ", 1)
            seconds.append(float(took))
            memory.append(measured.anonymous / 1e9)
        over = " **ABOVE**" if count > 5_000_000 and (min(seconds) > LIMIT_S or max(memory) > LIMIT_GB) else ""
        rows.append([f"{count / 1e6:g} million", spread(seconds) + over, spread(memory), figures])
    table(
        [
            "pulses a clock",
            "seconds to align",
            "GB of memory (anonymous, the whole process with its trains)",
            "found",
        ],
        rows,
    )
