"""Draw the alignment of clocks: their difference, and the residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nwbpipe.provenance import AlignmentRecord


def draw_alignments(alignments: Sequence[AlignmentRecord]) -> Any:
    """Draw a row for each clock: its difference from the reference, the residuals, their distribution.

    Parameters
    ----------
    alignments : sequence of AlignmentRecord
        From `nwbpipe.provenance.read_alignments`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = max(len(alignments), 1)
    figure = Figure(figsize=(12, 0.6 + 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, 3, squeeze=False, width_ratios=[1.2, 2, 1])
    for axes, record in zip(grid, alignments, strict=False):
        _draw_difference(axes[0], record)
        _draw_residuals(axes[1], axes[2], record)
    for axes in grid[len(alignments) :].ravel():
        axes.set_axis_off()
    return figure


def _draw_difference(axes: Any, record: AlignmentRecord) -> None:
    source, reference = record.knots.T
    line = source * (1.0 + record.drift_ppm * 1e-6) + record.offset_s
    if len(source) > 2:
        axes.plot(reference, (reference - line) * 1e3, ".-", linewidth=1)
        axes.set_ylabel("off a straight line (ms)")
    else:
        gained = (reference - source) - (reference[0] - source[0])
        axes.plot(reference, gained * 1e3, linewidth=1.2)
        axes.set_ylabel("gained on the clock (ms)")
    axes.set(title=f"{record.clock}: {record.drift_ppm:+.2f} ± {record.drift_error_ppm:.2f} ppm", xlabel="time (s)")


def _draw_residuals(axes: Any, beside: Any, record: AlignmentRecord) -> None:
    times, residual = record.residuals.T * np.asarray([[1.0], [1e3]])
    axes.plot(times, residual, ".", markersize=2.5)
    axes.set(
        title=f"{record.method}, {record.verdict}: {record.n_matched} matched, {record.n_missed} missed, "
        f"{record.n_extra} extra",
        xlabel="time on the reference (s)",
        ylabel="residual (ms)",
    )
    beside.hist(residual, bins=40, orientation="horizontal")
    beside.set(title=f"95 % within {record.residual_95_s * 1e3:.3g} ms", xlabel="pulses")
    if np.isfinite(record.tolerance_s) and np.abs(residual).max(initial=0) > 0.3e3 * record.tolerance_s:
        for sign in (-1, 1):
            axes.axhline(sign * record.tolerance_s * 1e3, color="0.5", linestyle="--", linewidth=0.8)
