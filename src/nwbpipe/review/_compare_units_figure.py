"""Draw a comparison of units: the agreement of each two, and how well each unit is matched."""

from __future__ import annotations

from typing import Any

import numpy as np

from nwbpipe.review._compare_units import WELL_DETECTED, UnitComparison, UnitPair

_MOST = 4
_MOST_NAMES = 40


def draw_units(canvas: Any, comparison: UnitComparison, title: str) -> None:
    """Draw for each pair (up to four, with the truth alone if there is one) its matrix and its sorted agreements.

    Parameters
    ----------
    canvas : matplotlib.figure.Figure
    comparison : UnitComparison
    title : str
    """
    pairs = [pair for pair in comparison.pairs if pair.first == comparison.truth] or list(comparison.pairs)
    pairs = pairs[:_MOST]
    canvas.set_size_inches(max(4.2 * len(pairs), 6.0), 7.2)
    canvas.suptitle(title + (" (only units that passed)" if comparison.passed_only else ""), fontsize=13)
    axes = canvas.subplots(2, len(pairs), squeeze=False, height_ratios=[1.8, 1])
    names = {table.step: table.names for table in comparison.tables}
    for axis, below, pair in zip(axes[0], axes[1], pairs, strict=True):
        image = _draw_matrix(axis, pair, names[pair.first], names[pair.second])
        if pair is pairs[-1]:
            canvas.colorbar(image, ax=axis, label="agreement", shrink=0.8)
        _draw_sorted(below, pair, "accuracy" if pair.first == comparison.truth else "agreement")


def _draw_matrix(axis: Any, pair: UnitPair, first: list[str], second: list[str]) -> Any:
    """Draw the matrix with matches on its diagonal, the best first, then what has no match."""
    matches = sorted(pair.matches, key=lambda match: -match.agreement)
    matrix = np.asarray(pair.agreement).reshape(
        len(pair.agreement), -1 if pair.agreement and pair.agreement[0] else 0
    )
    rows = [match.first for match in matches]
    columns = [match.second for match in matches]
    rows += [row for row in range(matrix.shape[0]) if row not in rows]
    columns += [column for column in range(matrix.shape[1]) if column not in columns]
    image = axis.imshow(
        matrix[np.ix_(rows, columns)] if matrix.size else np.zeros((1, 1)),
        cmap="viridis",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
    )
    axis.set(xlabel=f"units of {pair.second}", ylabel=f"units of {pair.first}")
    axis.set_xticks([])
    axis.set_yticks([])
    if matrix.size and len(columns) <= _MOST_NAMES:
        axis.set_xticks(range(len(columns)), [second[column] for column in columns], rotation=90, fontsize=8)
    if matrix.size and len(rows) <= _MOST_NAMES:
        axis.set_yticks(range(len(rows)), [first[row] for row in rows], fontsize=8)
    axis.set_title(
        f"{pair.matched} in both ({pair.well_detected} with ≥ {WELL_DETECTED:g})\n"
        f"{pair.only_first} only in {pair.first}, {pair.only_second} only in {pair.second}",
        fontsize=11,
    )
    return image


def _draw_sorted(axis: Any, pair: UnitPair, word: str) -> None:
    values = np.zeros(len(pair.agreement))
    for match in pair.matches:
        values[match.first] = match.agreement
    axis.bar(range(len(values)), np.sort(values)[::-1], 0.85, color="#4477aa")
    axis.axhline(WELL_DETECTED, color="#d62728", linewidth=1, linestyle="--")
    axis.set(ylim=(0, 1.02), xlabel=f"units of {pair.first}, the best first", ylabel=word)
