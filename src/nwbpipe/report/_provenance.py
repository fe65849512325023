"""Where each result comes from: the graph of runs, and their records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup, escape

from nwbpipe.errors import show_text
from nwbpipe.files import is_below
from nwbpipe.provenance import RunRecord
from nwbpipe.report._content import Figure, SessionContent
from nwbpipe.report._plot import GREY, svg
from nwbpipe.report._table import draw_table

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 150, 36, 40, 14


def draw_provenance(content: SessionContent) -> Iterator[Figure]:
    """Draw the graph of the runs whose results are in the file, and a table of their records."""
    records = content.records
    if not records:
        return
    rows = []
    for record in records:
        seconds = (record.ended - record.started).total_seconds()
        peak = record.resources.get("peak_memory_bytes")
        rows.append(
            [record.step, f"{record.processor} r{record.revision}", f"{record.tool} {record.tool_version}".strip(),
             f"{record.ended:%Y-%m-%d %H:%M}", seconds, peak / 1e6 if isinstance(peak, int | float) else None,
             record.seed, record.run_id[:8], _fold(record.parameters)]
        )  # fmt: skip
    names = ["step", "processor", "tool", "ended (UTC)", "seconds", "memory (MB)", "seed", "run", "parameters"]
    yield Figure("Graph of runs", _draw_graph(records), "An arrow leads from a step to those that read its results.")
    yield Figure("Runs", draw_table(names, rows))


def _fold(values: Any) -> Markup:
    text = json.dumps(values, indent=1, sort_keys=True, default=str, ensure_ascii=False)
    clean = Markup("\n").join(show_text(line) for line in text.splitlines()[:400])
    return Markup("<details><summary>{}</summary><pre>{}</pre></details>").format(f"{len(values)} values", clean)


def find_edges(records: list[RunRecord]) -> set[tuple[int, int]]:
    """Return pairs of records of which the second reads what the first wrote."""
    edges = set()
    for later, record in enumerate(records):
        for item in record.inputs:
            for earlier, source in enumerate(records):
                if earlier != later and is_below(item.path, [output.path for output in source.outputs]):
                    edges.add((earlier, later))
    return edges


def _draw_graph(records: list[RunRecord]) -> Markup:
    edges = find_edges(records)
    layer = [0] * len(records)
    for _ in records:  # the longest way from a source; a circle can't grow it further than that
        for earlier, later in edges:
            layer[later] = max(layer[later], min(layer[earlier] + 1, len(records)))
    corners: dict[int, tuple[float, float]] = {}
    counts: dict[int, int] = {}
    for index in range(len(records)):
        row = counts.get(layer[index], 0)
        counts[layer[index]] = row + 1
        corners[index] = (8 + layer[index] * (_WIDTH + _GAP_X), 8 + row * (_HEIGHT + _GAP_Y))
    parts = []
    for earlier, later in sorted(edges):
        x, y = corners[earlier][0] + _WIDTH, corners[earlier][1] + _HEIGHT / 2
        to_x, to_y = corners[later][0], corners[later][1] + _HEIGHT / 2
        bend = (to_x - x) / 2
        curve = f"M{x} {y}C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"
        parts.append(f'<path d="{curve}" fill="none" stroke="{GREY}"/>')
        parts.append(f'<path d="M{to_x} {to_y}l-7 -4v8z" fill="{GREY}"/>')
    for index, record in enumerate(records):
        x, y = corners[index]
        tool = f"{record.tool} {record.tool_version}".strip()
        title = escape(show_text(f"{record.step}: {record.processor} revision {record.revision}, {tool}"))
        parts.append(
            f'<g><title>{title}</title><rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" '
            f'fill="#eef3f7" stroke="#8aa"/>{_write(x, y + 15, record.step)}{_write(x, y + 29, tool)}</g>'
        )
    width = 16 + max(layer) * (_WIDTH + _GAP_X) + _WIDTH
    height = 16 + max(counts.values()) * (_HEIGHT + _GAP_Y)
    return svg(width, height, parts, "graph of runs")


def _write(x: float, y: float, text: str) -> str:
    clean = show_text(text)
    short = escape(clean if len(clean) <= 22 else clean[:21] + "…")
    return f'<text x="{x + _WIDTH / 2}" y="{y}" text-anchor="middle">{short}</text>'
