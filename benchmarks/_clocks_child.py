"""Aligns one simulated pair of pulse trains, and writes how long that took and what was found."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from nwbpipe.converters.clocks.pulses import match_pulses


def main(count: int, seed: int, out: Path) -> None:
    rng = np.random.default_rng(seed)
    events = np.cumsum(rng.uniform(0.5e-3, 1.5e-3, count))
    reference = record_events(rng, events)
    source = (record_events(rng, events) - 4321.0) / (1 + 80e-6)
    started = time.perf_counter()
    match = match_pulses(source, reference)
    seconds = time.perf_counter() - started
    assert match.is_accepted, match.detail
    line = match.best.fit.line
    assert abs(line.drift - 80e-6) < 5 * match.best.fit.drift_error, "a wrong drift"
    out.write_text(
        f"{seconds} {len(match.best.of_source) / count:.1%} matched, offset {line.offset_s:.6f} s, "
        f"drift {line.drift * 1e6:.4f} ppm (true: 4321 s, 80 ppm)"
    )


def record_events(rng: np.random.Generator, events: np.ndarray) -> np.ndarray:
    """Lose 2 % of the events, and jitter the others by 10 µs."""
    recorded = events[rng.random(len(events)) > 0.02]
    return recorded + rng.normal(0, 1e-5, len(recorded))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
