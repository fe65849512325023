"""The card of a data set: what is in it, in numbers and in words."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from nwbpipe.export.ml._dataset import MlDataset
from nwbpipe.export.ml._declaration import PARTS
from nwbpipe.export.ml._streams import Data, Labels, Points

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def describe_dataset(dataset: MlDataset) -> dict[str, Any]:
    """Return counts, rates and distributions of each part, as JSON values."""
    return {
        "parts": {part: _describe_part(dataset, part) for part in PARTS},
        "inputs": {name: _describe_input(dataset, name) for name in dataset.declaration.inputs},
        "targets": {
            name: {part: _describe_target(dataset, name, part) for part in PARTS}
            for name in dataset.declaration.targets
        },
    }


def _describe_part(dataset: MlDataset, part: str) -> dict[str, Any]:
    windows = [window for window in dataset.windows if window.part == part]
    names = {window.session for window in windows}
    sessions = [session for session in dataset.sessions.values() if session.name in names]
    return {
        "windows": len(windows),
        "seconds": _measure_time([(window.session, window.start) for window in windows], dataset),
        "sessions": len(sessions),
        "subjects": len({session.subject for session in sessions}),
        "days": len({session.day for session in sessions}),
    }


def _measure_time(starts: list[tuple[str, float]], dataset: MlDataset) -> float:
    """Return the time that windows cover; where they overlap it counts once."""
    length, total = dataset.declaration.dataset.length, 0.0
    last: tuple[str, float] | None = None
    for name, start in sorted(starts):
        new = length if last is None or last[0] != name else min(length, start - last[1])
        total, last = total + new, (name, start)
    return round(total, 6)


def _describe_input(dataset: MlDataset, name: str) -> dict[str, Any]:
    items = [session.data[name] for session in dataset.sessions.values()]
    facts: dict[str, Any] = {"source": dataset.declaration.inputs[name].source}
    sizes = [_count_columns(item) for item in items]
    facts |= {"fewest": min(sizes), "most": max(sizes), "columns": max(sizes)}
    if any(item.is_population for item in items):
        facts["columns"] = sum(sizes)
    if all(isinstance(item, Points) for item in items):
        rates = [
            len(times) / max(session.domain[1] - session.domain[0], 1e-9)
            for session in dataset.sessions.values()
            for times in session.data[name].times  # type: ignore[union-attr]
            if np.isfinite(session.domain).all()
        ]
        facts["rate_hz"] = _quantiles(np.array(rates)) if rates else None
    return facts


def _count_columns(item: Data) -> int:
    if isinstance(item, Labels):
        return 1
    return len(item.labels)


def _describe_target(dataset: MlDataset, name: str, part: str) -> dict[str, Any]:
    windows = [window for window in dataset.windows if window.part == part]
    if name in dataset.fits.classes:
        return {"classes": dict(sorted(Counter(str(dataset.read(window, name)) for window in windows).items()))}
    if dataset.declaration.targets[name].form == "events" or not windows:
        return {}
    values = np.concatenate([np.atleast_1d(np.asarray(dataset.read(w, name), np.float64)).ravel() for w in windows])
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {}
    return {"mean": float(finite.mean()), "deviation": float(finite.std()), "quantiles": _quantiles(finite),
            "missing": int(len(values) - len(finite))}  # fmt: skip


def _quantiles(values: Any) -> list[float]:
    return [float(f"{value:.6g}") for value in np.quantile(values, _QUANTILES)]


def render_card(dataset: MlDataset, facts: dict[str, Any]) -> str:
    """Return the card as Markdown."""
    section, split = dataset.declaration.dataset, dataset.declaration.split
    first, last = section.bounds
    around = f" around {section.around}, {first:g} to {last:g} s" if section.around else ""
    lines = [
        f"# {section.name}",
        "",
        f"Windows of {section.length:g} s{around}, in bins of {section.bin:g} s. Split by {split.by}"
        + (
            f" ({split.block:g} s, {dataset.declaration.gap:g} s between blocks of two parts)."
            if split.block
            else "."
        ),
        f"Licence: {section.licence or 'not stated'}. Digest: `{dataset.digest}`.",
        "",
        "| part | windows | time | sessions | subjects | days |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for part, row in facts["parts"].items():
        lines.append(
            f"| {part} | {row['windows']:,} | {_show_time(row['seconds'])} | {row['sessions']} | {row['subjects']} "
            f"| {row['days']} |"
        )
    lines += ["", "## Inputs", ""]
    for name, row in facts["inputs"].items():
        stream = dataset.declaration.inputs[name]
        text = f"- **{name}**: {row['source']} `{stream.pattern}`, {row['columns']} columns"
        text += f" ({row['fewest']} to {row['most']} a session)" if row["columns"] > row["most"] else ""
        text += f", where `{stream.where}`" if stream.where else ""
        if row.get("rate_hz"):
            text += f"; {row['rate_hz'][0]:g} to {row['rate_hz'][-1]:g} Hz, median {row['rate_hz'][2]:g} Hz"
        lines.append(f"{text}; normalised: {stream.normalise}")
    lines += ["", "## Targets", ""]
    for name, parts in facts["targets"].items():
        stream = dataset.declaration.targets[name]
        lines.append(f"- **{name}**: {stream.source} `{stream.pattern}`; normalised: {stream.normalise}")
        lines += [f"  - {part}: {_describe(row)}" for part, row in parts.items() if any(row.values())]
    lines += ["", "## Left out", ""]
    lines += [f"- session {name}: {reason}" for name, reason in dataset.left_out.items()]
    lines += [f"- {count:,} windows: {reason}" for reason, count in dataset.dropped.items()]
    if not dataset.left_out and not dataset.dropped:
        lines.append("Nothing.")
    return "\n".join([*lines, *_render_provenance(dataset)]) + "\n"


def _show_time(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _describe(row: dict[str, Any]) -> str:
    if "classes" in row:
        return ", ".join(f"{name} {count}" for name, count in row["classes"].items())
    low, *_, high = row["quantiles"]
    return f"mean {row['mean']:.4g}, deviation {row['deviation']:.4g}, {low:g} to {high:g}"


def _render_provenance(dataset: MlDataset) -> list[str]:
    lines = ["", "## Where it comes from", ""]
    if dataset.declaration.split.by == "block" and any(session.runs for session in dataset.sessions.values()):
        lines += [
            "The split is within sessions. The runs below computed over whole sessions, the test blocks included:",
            "what they fitted (a baseline, a filter, a component) has seen them.",
            "",
        ]
    for session in dataset.sessions.values():
        lines.append(f"- {session.name} ({session.subject}, {session.day}): {', '.join(sorted(session.identities))}")
        lines += [
            f"  - {run['step']}: {run['processor']} {run['revision']}, {run['tool']} {run['tool_version']}, "
            f"run `{run['run_id']}`"
            for run in session.runs
        ]
    return lines
