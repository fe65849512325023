"""Draw a comparison: the cells of each step, their agreement, and each step's cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nwbpipe.errors import ToolMissingError
from nwbpipe.review._compare import Comparison, StepPair, round_offset, select_passed_cells
from nwbpipe.review._compare_units import UnitComparison
from nwbpipe.review._compare_units_figure import draw_units
from nwbpipe.review._imaging_results import ImagingResults, read_imaging
from nwbpipe.session import SessionFile, SessionReader

COLORS = {"both": "#2ca02c", "first": "#d62728", "second": "#1f77b4"}
_MOST = 4  # maps
_BARS = ("#4477aa", "#ee8866", "#aa3377", "#bbbbbb")
_SCORES = {"recall": "recall", "precision": "precision", "iou": "overlap\n(IoU)", "trace_r": "traces\n(r)"}


def draw(path: Path | str, comparison: Comparison | UnitComparison, figure: Path) -> None:
    """Draw a comparison as PNG: for each pair (up to four) a map of cells, or the agreement of units.

    For imaging, also scores and the cost of each step. With a truth, the pairs are of the methods against it.

    Parameters
    ----------
    path : path
        The session file that was compared.
    comparison : Comparison or UnitComparison
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
    session = SessionFile.at(path)
    if isinstance(comparison, UnitComparison):
        canvas = Figure(layout="constrained")
        draw_units(canvas, comparison, f"Units of one recording: {session.name}")
        canvas.savefig(figure, dpi=110)
        return
    pairs = ([pair for pair in comparison.pairs if pair.first == comparison.truth] or list(comparison.pairs))[:_MOST]
    steps = {step for pair in pairs for step in (pair.first, pair.second)}

    def read(reader: SessionReader) -> dict[str, ImagingResults]:
        results = {step: read_imaging(reader, step) for step in steps}
        judged = steps - {comparison.truth} if comparison.passed_only else set()
        return results | {step: select_passed_cells(reader, results[step]) for step in judged}

    results = session.read(read)
    canvas = Figure(figsize=(max(3.7 * len(pairs), 8.0), 7.6), layout="constrained")
    scan = "one scan" if comparison.truth is None else "one simulated scan"
    title = f"Imaging methods on {scan}: {session.name}"
    canvas.suptitle(title + (" (only ROIs that passed)" if comparison.passed_only else ""), fontsize=13)
    upper, lower = canvas.subfigures(2, 1, height_ratios=[1.7, 1])
    for axis, pair in zip(np.ravel(upper.subplots(1, len(pairs))), pairs, strict=True):
        _draw_map(axis, results[pair.first], results[pair.second], pair, truth=pair.first == comparison.truth)
    _draw_legend(upper, truth=pairs[0].first == comparison.truth)
    scores, costs = lower.subplots(1, 2, width_ratios=[1.6, 1])
    _draw_scores(scores, pairs, comparison.truth)
    _draw_costs(costs, comparison)
    canvas.savefig(figure, dpi=110)


def _draw_map(axis: Any, first: ImagingResults, second: ImagingResults, pair: StepPair, *, truth: bool) -> None:
    nx, ny = first.frame_shape
    if second.mean is not None:
        low, high = np.percentile(second.mean, (1, 99.7))
        axis.imshow(
            second.mean.T, cmap="gray", vmin=low, vmax=high, extent=(-0.5, nx - 0.5, ny - 0.5, -0.5), alpha=0.7
        )
    rows = ({a for a, _ in pair.pairs}, {b for _, b in pair.pairs})
    for results, moved, matched, alone in (
        (first, first.shift_masks(round_offset(pair.motion_offset)), rows[0], "first"),
        (second, second.pixels, rows[1], "second"),
    ):
        for row in np.flatnonzero(results.cell):
            mask = np.zeros((nx, ny))
            mask.reshape(-1)[moved[row] % (nx * ny)] = 1  # planes lie on each other
            color = COLORS["both"] if row in matched else COLORS[alone]
            axis.contour(mask.T, levels=[0.5], colors=[color], linewidths=1.2)
    axis.set(xlim=(-0.5, nx - 0.5), ylim=(ny - 0.5, -0.5), aspect="equal", xlabel="x (pixels)", ylabel="y (pixels)")
    both, first_alone, second_alone = pair.matched, pair.only_first, pair.only_second
    if truth:
        title = f"{pair.second}\n{both} found, {first_alone} missed, {second_alone} false"
    else:
        title = f"{pair.first}, {pair.second}\n{both} in both, {first_alone} and {second_alone} in one"
    axis.set_title(title, fontsize=11)


def _draw_legend(canvas: Any, *, truth: bool) -> None:
    from matplotlib.lines import Line2D

    texts = (
        ("found", "missed", "found, but no cell") if truth else ("in both", "only in the first", "only in the second")
    )
    lines = [Line2D([], [], color=color, linewidth=2) for color in COLORS.values()]
    canvas.legend(lines, texts, loc="outside lower center", ncols=3, fontsize=10, frameon=False)


def _draw_scores(axis: Any, pairs: list[StepPair], truth: str | None) -> None:
    """Draw groups of bars, a group for each score and a bar for each pair; an unknown score has no bar."""
    wide = 0.8 / len(pairs)
    for n, pair in enumerate(pairs):
        values = [getattr(pair, score) for score in _SCORES]
        positions = np.arange(len(values)) + (n - (len(pairs) - 1) / 2) * wide
        label = pair.second if pair.first == truth else f"{pair.first}, {pair.second}"
        axis.bar(positions, [value or 0.0 for value in values], 0.9 * wide, color=_BARS[n], label=label)
        for position, value in zip(positions, values, strict=True):
            text = "–" if value is None else f"{value:.2f}"
            axis.text(position, max(value or 0.0, 0.0) + 0.02, text, ha="center", fontsize=8)
    axis.set_xticks(range(len(_SCORES)), _SCORES.values())
    axis.set(ylim=(0, 1.15), ylabel="1 is the best")
    axis.set_title("Against the truth" if pairs[0].first == truth else "Agreement of two methods", fontsize=11)
    if len(pairs) > 1:
        axis.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _draw_costs(axis: Any, comparison: Comparison) -> None:
    costs = [cost for cost in comparison.costs if cost.seconds is not None]
    for row, cost in enumerate(costs):
        memory = "" if cost.memory_mb is None else f", {cost.memory_mb / 1000:.1f} GB"
        axis.barh(row, cost.seconds, color="#7f7f7f", height=0.5)
        axis.text(cost.seconds or 0.0, row, f" {cost.seconds:.0f} s{memory}", va="center", fontsize=9)
    axis.set_yticks(range(len(costs)), [cost.step for cost in costs])
    axis.set_ylim(max(len(costs), 1) - 0.4, -0.6)
    axis.set_xlabel("seconds")
    axis.set_xlim(0, 1.9 * max([cost.seconds or 0.0 for cost in costs], default=1.0) or 1.0)
    axis.set_title("Run time and peak memory", fontsize=11)
