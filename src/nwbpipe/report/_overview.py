"""The head of the page: what to look at first, whose session it is, what was recorded when, and the clocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from markupsafe import Markup

from nwbpipe.report._content import Figure, Finding, SessionContent
from nwbpipe.report._plot import BLUE, GREEN, GREY, ORANGE, RED, Plot, find_limits
from nwbpipe.report._table import draw_table
from nwbpipe.session import find_result_faults

_MOST_REASONS = 4
_FIELDS = (
    "session_id", "session_description", "session_start_time", "experimenter", "lab", "institution",
    "experiment_description", "keywords", "pharmacology", "surgery", "virus", "stimulus_notes", "notes", "identifier",
)  # fmt: skip
_SUBJECT = ("subject_id", "species", "strain", "genotype", "sex", "age", "date_of_birth", "weight", "description")


def list_findings(content: SessionContent) -> list[Finding]:
    """Return what a person should look at first: what fails before what only warns."""
    findings = [
        *_judge_results(content), *_judge_scans(content), *_judge_rois(content), *_judge_clocks(content),
        *_judge_streams(content),
    ]  # fmt: skip
    return sorted(findings, key=lambda finding: finding.level != "fail")


def _judge_results(content: SessionContent) -> Iterator[Finding]:
    for record in content.records:
        # the contents were hashed when they were written; `check --deep` hashes them again
        for fault in find_result_faults(content.reader.file, record, lambda _: None):
            if fault.verified:
                yield Finding("fail", record.step, f"{fault.path}: {fault.what}")


def _judge_scans(content: SessionContent) -> Iterator[Finding]:
    for verdict in content.verdicts:
        if verdict.of == "scan" and verdict.verdict != "pass":
            yield Finding(verdict.verdict, verdict.about or verdict.step, "the scan: " + "; ".join(verdict.reasons))


def _judge_rois(content: SessionContent) -> Iterator[Finding]:
    steps = dict.fromkeys(item.about or item.step for item in content.verdicts if item.of == "roi")
    for step in steps:
        rois = [item for item in content.verdicts if item.of == "roi" and (item.about or item.step) == step]
        failed = [item for item in rois if item.verdict == "fail"]
        if failed:
            reasons = Counter(reason.partition(" ")[0] for item in failed for reason in item.reasons)
            text = ", ".join(f"{name} ({number})" for name, number in reasons.most_common(_MOST_REASONS))
            level = "fail" if 2 * len(failed) > len(rois) else "warn"
            yield Finding(level, step, f"{len(failed)} of {len(rois)} ROIs fail: {text}")


def _judge_clocks(content: SessionContent) -> Iterator[Finding]:
    for alignment in content.alignments:
        if not alignment.accepted:
            yield Finding("fail", f"clock {alignment.clock}", alignment.verdict)


def _judge_streams(content: SessionContent) -> Iterator[Finding]:
    for stream in content.summary.streams:
        if stream.gaps:
            number = f"{stream.gaps} gap" + ("s" if stream.gaps > 1 else "")
            text = f"{stream.name}: {number}, {stream.missing_s:.6g} s are missing"
            yield Finding("warn", stream.source, text)
    for source, text in content.summary.left_out:
        yield Finding("warn", source, f"not read: {text}")
    for source, text in content.summary.notes:
        yield Finding("warn", source, text)


# Who, what, when --------------------------------------------------------------------------------------------


def draw_session(content: SessionContent) -> Iterator[Figure]:
    """Draw the session's and the subject's fields."""
    nwbfile = content.nwbfile
    rows = [(name, _join(getattr(nwbfile, name, None))) for name in _FIELDS]
    subject = nwbfile.subject
    rows += [(f"subject: {name}", _join(getattr(subject, name, None))) for name in _SUBJECT if subject is not None]
    rows += [(f"device: {device.name}", device.description or "") for device in nwbfile.devices.values()]
    pairs = [(name.replace("_", " "), text) for name, text in rows if text not in ("", None)]
    yield Figure("Who, what, when", draw_table(["field", "value"], pairs))


def _join(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "shape"):  # of a list, pynwb gives the dataset
        value = np.asarray(value).ravel().tolist()
    if isinstance(value, list | tuple):
        return ", ".join(item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in value)
    return str(value)


# Time -------------------------------------------------------------------------------------------------------


def draw_time_line(content: SessionContent) -> Iterator[Figure]:
    """Draw when each stream was recorded, the clocks' residuals, and the table of streams."""
    streams = [
        (item, item.first_s, item.last_s)
        for item in content.summary.streams
        if item.first_s is not None and item.last_s is not None
    ]
    if streams:
        span = find_limits([first for _, first, _ in streams], [last for _, _, last in streams], pad=0.01)
        plot = Plot(
            span,
            (-len(streams), 0),
            width=900,
            height=20 * len(streams) + 44,
            x_label="time (s)",
            y_ticks=False,
            label="streams over time",
        )
        for row, (item, first, last) in enumerate(streams):
            color = ORANGE if item.gaps else BLUE if item.source else GREY
            plot.spans([first], [last], -row - 0.85, -row - 0.15, color, opacity=0.55, texts=[str(item)])
            plot.text(plot.x[0], -row - 0.5, f" {item.name}", color="#111")
        caption = "Blue from raw files, orange with gaps, grey computed from them."
        yield Figure("What was recorded when", plot.render(), caption)
    yield from _draw_clocks(content)
    rows = [
        [item.source, item.name, item.type, " × ".join(map(str, item.shape)), item.rate, item.unit, item.low,
         item.high,
         item.first_s, item.last_s, ", ".join(item.files[:3]) + (" …" if len(item.files) > 3 else "")]
        for item in content.summary.streams
    ]  # fmt: skip
    names = [
        "source",
        "name",
        "type",
        "shape",
        "rate (Hz)",
        "unit",
        "least",
        "greatest",
        "first (s)",
        "last (s)",
        "files",
    ]
    if rows:
        yield Figure("All series and tables", draw_table(names, rows), is_folded=True)


def _draw_clocks(content: SessionContent) -> Iterator[Figure]:
    rows, panels, classes = [], [], []
    for item in content.alignments:
        rows.append(
            [item.clock, item.method, item.verdict, item.n_matched, item.n_missed, item.n_extra, item.offset_s,
             item.drift_ppm, item.residual_95_s * 1e3, item.tolerance_s * 1e3]
        )  # fmt: skip
        classes.append("" if item.accepted else "fail")
        if len(item.residuals):
            residuals = item.residuals[:, 1] * 1e3
            plot = Plot(
                find_limits(item.residuals[:, 0], pad=0.01), find_limits(residuals, pad=0.15), width=430, height=150,
                x_label=f"{item.clock}: time (s)", y_label="residual (ms)",
            )  # fmt: skip
            plot.points(item.residuals[:, 0], residuals, GREEN if item.accepted else RED, 1.8)
            panels.append(plot.render())
    if rows:
        names = [
            "clock",
            "method",
            "verdict",
            "matched",
            "missed",
            "extra",
            "offset (s)",
            "drift (ppm)",
            "95 % (ms)",
            "tolerance (ms)",
        ]
        body = draw_table(names, rows, classes) + Markup('<div class="row">{}</div>').format(Markup("").join(panels))
        yield Figure("Clocks", body, "Residuals of the pairs after the alignment to the session's clock.")
