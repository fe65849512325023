"""Read the ROIs or units of a step with the labels that a person gave them, to show and to change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from nwbpipe.errors import UnknownNameError
from nwbpipe.files import is_below
from nwbpipe.provenance import ObjectRecord, RunRecord, find_current_record
from nwbpipe.review._commit_curation import describe_state, name_curation
from nwbpipe.review._curate_units import find_units
from nwbpipe.review._imaging_results import SEGMENTATION, find_output
from nwbpipe.review._quality import QualityVerdict, read_verdicts
from nwbpipe.session import CURATION, SessionReader

_MOST_NUMBERS = 6  # columns of a table that are told


@dataclass(frozen=True)
class LabelRow:
    """One ROI or unit.

    Attributes
    ----------
    name : str
        Number of the ROI (its row, from 0), or name of the unit: what `curate` takes.
    facts : dict of str to str
        What the file says of it: numbers of the table, whether the tool takes an ROI for a cell, ``spikes`` of a
        unit, ``verdict`` with its reasons.
    label : str
        The person's label; "" if it has none.
    """

    name: str
    facts: Mapping[str, str]
    label: str


@dataclass(frozen=True)
class LabelTable:
    """The ROIs or units of a step.

    Attributes
    ----------
    step : str
    kind : {"roi", "unit"}
    rows : list of LabelRow
    curator : str
        Who gave the labels; "" if the step has none.
    state : str
        What `curate` takes as `seen`.
    is_more : bool
        True if the curation holds merges, splits or removals, which a table of labels does not say.
    """

    step: str
    kind: str
    rows: list[LabelRow] = field(default_factory=list)
    curator: str = ""
    state: str = ""
    is_more: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """The labels that there are, by name."""
        return {row.name: row.label for row in self.rows if row.label}


def list_label_steps(reader: SessionReader) -> dict[str, str]:
    """Return the steps of a file whose ROIs or units a person can label, and which of the two they have."""
    steps: dict[str, str] = {}
    for record in reader.records:
        if record.superseded or record.processor == CURATION:
            continue
        if find_units(reader, record.step) is not None:
            steps[record.step] = "unit"
        elif find_output(reader.file, record, SEGMENTATION) is not None:
            steps[record.step] = "roi"
    return steps


def read_label_table(reader: SessionReader, step: str) -> LabelTable:
    """Return the ROIs or units of a step.

    Raises
    ------
    UnknownNameError
        If the step has neither.
    """
    run = find_current_record(reader.records, step)
    units = find_units(reader, step)
    path = None if run is None or units is not None else find_output(reader.file, run, SEGMENTATION)
    if run is None or (units is None and path is None):
        msg = f"the file has no ROIs and no units of a step {step!r}"
        expected = ", ".join(list_label_steps(reader)) or None
        raise UnknownNameError(msg, where=reader.file.filename, expected=expected, found=step)
    curation = find_current_record(reader.records, name_curation(step))
    values = curation.parameters if curation is not None and _is_of(curation, run) else {}
    names, facts = _read_units(reader.file, units[1]) if units is not None else _read_rois(reader.file[path])
    for verdict in read_verdicts(reader, step):
        if verdict.of in ("roi", "unit") and verdict.about == step and verdict.row < len(names):
            facts[verdict.row]["verdict"] = _describe(verdict)
    labels = {str(name): str(label) for name, label in values.get("labels", {}).items()}
    return LabelTable(
        step,
        "unit" if units is not None else "roi",
        [LabelRow(name, fact, labels.get(name, "")) for name, fact in zip(names, facts, strict=True)],
        str(values.get("who", "")),
        describe_state(run, curation),
        any(values.get(name) for name in ("merges", "splits", "removed")),
    )


def _is_of(curation: RunRecord, run: RunRecord) -> bool:
    return curation.processor == CURATION and is_below(
        curation.inputs[0].path, [output.path for output in run.outputs]
    )


def _describe(verdict: QualityVerdict) -> str:
    return f"{verdict.verdict}: {'; '.join(verdict.reasons)}" if verdict.reasons else verdict.verdict


def _read_rois(segmentation: h5py.Group) -> tuple[list[str], list[dict[str, str]]]:
    count = len(segmentation["id"])
    facts = _read_numbers(segmentation, count)
    if "iscell" in segmentation:
        for fact, flag in zip(facts, segmentation["iscell"][()], strict=True):
            fact["by the tool"] = "cell" if flag else "not cell"
    return [str(row) for row in range(count)], facts


def _read_units(file: h5py.File, units: ObjectRecord) -> tuple[list[str], list[dict[str, str]]]:
    table = file[units.path]
    titles: Any = table["unit_name"].asstr()[()] if "unit_name" in table else table["id"][()].tolist()
    counts = np.diff(np.asarray(table["spike_times_index"][()], dtype=np.int64), prepend=0)
    facts = _read_numbers(table, len(counts))
    for fact, count in zip(facts, counts.tolist(), strict=True):
        fact["spikes"] = str(count)
    return [str(title) for title in titles], facts


def _read_numbers(table: h5py.Group, count: int) -> list[dict[str, str]]:
    """Return the first columns that hold one number a row."""
    facts: list[dict[str, str]] = [{} for _ in range(count)]
    columns = [table.get(str(name)) for name in table.attrs.get("colnames", ())]
    numbers = [
        column
        for column in columns
        if isinstance(column, h5py.Dataset)
        and column.shape == (count,)
        and column.dtype.kind in "fiu"
        and f"{column.name.rpartition('/')[2]}_index" not in table
    ]
    for column in numbers[:_MOST_NUMBERS]:
        name = column.name.rpartition("/")[2].replace("_", " ")
        for fact, value in zip(facts, column[()].tolist(), strict=True):
            fact[name] = f"{value:.4g}"
    return facts
