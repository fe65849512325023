"""Draw the spikes of each unit around a time of each trial, by a column of the trials.

    python examples/draw_spikes.py FILE.nwb OUT.png

Needs a file with units and trials, such as one that `examples/decode_speed.py` simulates.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray

from nwbpipe.export import align


def main(file: Path, out: Path, around: str = "trials.go_cue", by: str = "choice") -> xarray.Dataset:
    """Return the counts of each trial, and write the figure."""
    aligned = align(file, around=around, window=(-0.5, 1.5), bin=0.05, series=["units"])
    rates = aligned["units"] / 0.05
    groups = {str(value): rates[aligned[by].values == value] for value in np.unique(aligned[by].values)}
    responses = {name: group.mean("trial") for name, group in groups.items()}
    first, second = list(responses.values())[:2]
    difference = (first - second).sel(time=slice(0, 1)).mean("time")
    figure, axes = plt.subplots(1, len(responses) + 1, figsize=(10, 4), sharey=True, layout="constrained")
    order = np.argsort(difference.values)
    high = max(float(response.max()) for response in responses.values())
    for axis, (name, response) in zip(axes, responses.items(), strict=False):
        extent = (aligned.time.values[0], aligned.time.values[-1], len(order) - 0.5, -0.5)
        picture = axis.imshow(response.values.T[order], aspect="auto", extent=extent, vmin=0, vmax=high)
        axis.axvline(0, color="white", linewidth=1)
        axis.set(title=f"{by}: {name}", xlabel=f"time from {around} (s)")
    axes[0].set_ylabel("unit")
    figure.colorbar(picture, ax=axes[: len(responses)], label="spikes per second")
    axes[-1].barh(np.arange(len(order)), difference.values[order])
    axes[-1].set(title="{} − {}".format(*list(responses)[:2]), xlabel="spikes per second, 0 to 1 s")
    figure.savefig(out, dpi=100)
    plt.close(figure)
    return aligned


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
