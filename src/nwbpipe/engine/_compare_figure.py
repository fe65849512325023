"""A figure of a comparison: whose cells are where, and what each step cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.engine._compare import Comparison, Pair, whole_pixels
from nwbpipe.engine._imaging_results import ImagingResults, read_imaging
from nwbpipe.errors import ToolMissingError

COLORS = {"both": "#2ca02c", "first": "#d62728", "second": "#1f77b4"}


def draw(path: Path | str, comparison: Comparison, figure: Path) -> None:
    """Draw a comparison as PNG: for each pair a map of cells (up to four), and the cost of each step.

    Parameters
    ----------
    path : path
        The session file that was compared.
    comparison : Comparison
    figure : Path
        The file to write.

    Raises
    ------
    ToolMissingError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "to draw a figure the package matplotlib is needed"
        raise ToolMissingError(msg, hint="pip install matplotlib") from error
    pairs = comparison.pairs[:4]
    canvas = Figure(figsize=(4.2 * (len(pairs) + 1), 4.4), layout="constrained")
    steps = {step for pair in pairs for step in (pair.first, pair.second)}
    found = {step: read_imaging(path, step) for step in steps}
    axes = np.atleast_1d(canvas.subplots(1, len(pairs) + 1))
    for axis, pair in zip(axes, pairs, strict=False):
        _map(axis, found[pair.first], found[pair.second], pair)
    _costs(axes[-1], comparison)
    canvas.savefig(figure, dpi=110)


def _map(axis: Any, first: ImagingResults, second: ImagingResults, pair: Pair) -> None:
    nx, ny = first.frame_shape
    both = ({a for a, _ in pair.pairs}, {b for _, b in pair.pairs})
    for results, moved, matched, alone in (
        (first, first.moved(whole_pixels(pair.motion_offset)), both[0], "first"),
        (second, second.pixels, both[1], "second"),
    ):
        for row in np.flatnonzero(results.cell):
            mask = np.zeros((nx, ny))
            mask.reshape(-1)[moved[row] % (nx * ny)] = 1  # planes lie on each other
            color = COLORS["both"] if row in matched else COLORS[alone]
            axis.contour(mask.T, levels=[0.5], colors=[color], linewidths=1.0)
    axis.set(xlim=(0, nx), ylim=(ny, 0), aspect="equal", xlabel="x (pixels)", ylabel="y (pixels)")
    axis.set_title(f"{pair.first} and {pair.second}", fontsize=10)
    counts = {"both": pair.matched, "first": pair.only_first, "second": pair.only_second}
    names = {"both": "both", "first": f"only {pair.first}", "second": f"only {pair.second}"}
    for name, color in COLORS.items():
        axis.plot([], [], color=color, label=f"{names[name]}: {counts[name]}")
    axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False)


def _costs(axis: Any, comparison: Comparison) -> None:
    known = [one for one in comparison.costs if one.seconds is not None]
    for place, one in enumerate(known):
        memory = "" if one.memory_mb is None else f"  {one.memory_mb:.0f} MB"
        axis.barh(place, one.seconds, color="#7f7f7f", height=0.5)
        axis.text(one.seconds or 0.0, place, f" {one.seconds:.1f} s{memory}", va="center", fontsize=8)
    axis.set_yticks(range(len(known)), [one.step for one in known])
    axis.set_ylim(-1, max(len(known), 1))
    axis.set_xlabel("run time (s), with peak memory")
    axis.set_xlim(0, 1.6 * max([one.seconds or 0.0 for one in known], default=1.0) or 1.0)
