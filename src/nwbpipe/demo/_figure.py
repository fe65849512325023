"""Draw the demo's figure: recovered over true, one panel per stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nwbpipe.demo._read_results import RecoveredResults
from nwbpipe.simulate import SimulatedSession, scores

TRUE, FOUND = "0.35", "#d1495b"


def draw(path: Path, session: SimulatedSession, recovered: RecoveredResults) -> Path:
    """Draw the figure and return its path."""
    figure = Figure(figsize=(13, 8.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic("abb;acc;dee", width_ratios=[1.25, 1, 1])
    offset = scores.reference_offset(session.imaging.shifts, recovered.shifts)
    pairs = scores.match_masks(session.imaging.masks, recovered.masks, offset=offset).pairs
    _draw_cells(axes["a"], session, recovered, offset)
    _draw_traces(axes["b"], session, recovered, pairs)
    _draw_motion(axes["c"], session, recovered)
    _draw_units(axes["d"], session, recovered)
    _draw_pupil(axes["e"], session, recovered)
    handles = [
        axes["b"].plot([], [], color=color, label=label)[0] for color, label in ((TRUE, "true"), (FOUND, "found"))
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)
    figure.savefig(path, dpi=110)
    return path


def _draw_cells(
    axes: Any, session: SimulatedSession, recovered: RecoveredResults, offset: tuple[float, float]
) -> None:
    image = recovered.mean_image
    axes.imshow(image, cmap="gray", vmin=np.percentile(image, 1), vmax=np.percentile(image, 99.7))
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    for mask in session.imaging.masks:
        axes.contour(columns + offset[1], rows + offset[0], mask, levels=[0.5], colors="#3fc1c9", linewidths=1.4)
    for mask in recovered.masks:
        axes.contour(columns, rows, mask, levels=[0.5], colors=FOUND, linewidths=0.8)
    axes.set(title="Cells on the mean image: true (cyan), found by suite2p (red)", xticks=[], yticks=[])


def _draw_traces(
    axes: Any, session: SimulatedSession, recovered: RecoveredResults, pairs: Any, n_shown: int = 5
) -> None:
    for row, (true_row, found_row) in enumerate(pairs[:n_shown]):
        for values, color, width in (
            (session.imaging.traces[true_row], TRUE, 1.6),
            (recovered.traces[found_row], FOUND, 0.8),
        ):
            scaled = (values - np.median(values)) / max(float(np.ptp(values)), 1e-12)
            axes.plot(recovered.frame_times, scaled - 1.1 * row, color=color, linewidth=width)
    axes.set(title="Fluorescence of five cells", yticks=[], xlabel="time in the session's clock (s)")


def _draw_motion(axes: Any, session: SimulatedSession, recovered: RecoveredResults) -> None:
    for column, name in enumerate(("y", "x")):
        for values, color in ((session.imaging.shifts, TRUE), (recovered.shifts, FOUND)):
            trace = values[:, column] - values[:, column].mean()
            axes.plot(recovered.frame_times, trace - 8 * column, color=color, linewidth=0.9)
        axes.text(recovered.frame_times[0], -8 * column + 3, name)
    axes.set(title="Motion of the image (px)", yticks=[], xlabel="time in the session's clock (s)")


def _draw_units(axes: Any, session: SimulatedSession, recovered: RecoveredResults) -> None:
    accuracy = np.sort(scores.unit_accuracy(session.ephys.spike_times, recovered.spike_times))[::-1]
    axes.bar(np.arange(len(accuracy)), accuracy, color=FOUND)
    axes.axhline(0.8, color=TRUE, linestyle="--", linewidth=1)
    axes.set(title="Spike sorting: accuracy of each true unit", ylim=(0, 1.02), xlabel="unit", ylabel="accuracy")


def _draw_pupil(axes: Any, session: SimulatedSession, recovered: RecoveredResults) -> None:
    axes.plot(session.face.frame_times, session.face.pupil_area, color=TRUE, linewidth=1.6)
    axes.plot(recovered.pupil_times, recovered.pupil_area, color=FOUND, linewidth=0.8)
    axes.set(title="Pupil area (px²)", xlabel="time in the session's clock (s)")
