"""Compute dF/F of a photometry recording, and draw it around an event.

    python examples/draw_photometry.py FILE.nwb OUT.png

Needs a file with frequency-modulated photometry and events, such as the one of `nwbpipe demo`. The results are
written into the file, each with its record; a second call finds them there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import xarray

import nwbpipe
from nwbpipe.export import align


def main(file: Path, out: Path, event: str = "events.reward") -> xarray.Dataset:
    """Return dF/F around each event, and write the figure."""
    nwbpipe.process(file, "demodulate")
    signal = {"signal": "ophys/DemodulatedLockIn_demodulate"}
    nwbpipe.process(file, "photometry_dff", step="dff", inputs=signal)
    aligned = align(file, around=event, window=(-0.14, 0.5), bin=0.02, series=["DfOverFIsosbestic_dff"])
    dff = aligned["DfOverFIsosbestic_dff"]
    places = aligned["fiber_location"].values
    figure, axes = plt.subplots(1, len(places), figsize=(9, 3.5), sharey=True, squeeze=False, layout="constrained")
    for fiber, (axis, place) in enumerate(zip(axes[0], places, strict=True)):
        axis.plot(dff.time, 100 * dff[:, :, fiber].T, color="0.7", linewidth=0.8)
        # Where a trial has no value, there is no mean of all of them.
        axis.plot(dff.time, 100 * dff[:, :, fiber].mean("trial", skipna=False), color="tab:green", linewidth=2)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set(title=f"fiber {fiber}, {place}", xlabel=f"time from {event} (s)")
    axes[0, 0].set_ylabel("dF/F (%)")
    figure.savefig(out, dpi=100)
    plt.close(figure)
    return aligned


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
