"""Add a person's labels of ROIs beside the tool's own, bound to the run that found the ROIs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe import files
from nwbpipe.errors import InputError, SourceError, UnknownNameError
from nwbpipe.provenance import ObjectRecord, RunRecord, find_current_record, identify_file
from nwbpipe.review._commit_curation import commit_curation, name_curation
from nwbpipe.review._curate_units import curate_units, find_units
from nwbpipe.review._imaging_results import SEGMENTATION, find_output
from nwbpipe.review._unit_curation import UnitCuration
from nwbpipe.session import CURATION, SessionFile, SessionReader

if TYPE_CHECKING:
    from pynwb import NWBFile

#: Words that decide whether an ROI is a cell; other words leave that to the tool.
_CELL = {"cell": True, "soma": True, "1": True, "true": True, "yes": True}
_MAX_DIGITS = 18
_NO_CELL = {"not cell": False, "no cell": False, "noise": False, "0": False, "false": False, "no": False}


def read_labels(path: Path) -> dict[int, str]:
    """Read labels by ROI: suite2p's ``iscell.npy``, or a CSV with the columns ``roi`` and ``label``.

    Returns
    -------
    dict of int to str
        ``cell`` or ``not cell`` of an ``iscell.npy``; the words of a CSV as they are. A CSV may leave ROIs out.

    Raises
    ------
    SourceError
        If the file is neither, an ROI is named twice, or a label is empty.
    """
    if path.suffix == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except Exception as error:  # numpy's header parser raises nearly anything
            msg = "the labels can't be read"
            raise SourceError(msg, where=str(path), expected="iscell.npy of suite2p", found=str(error)) from error
        flags = values[:, 0] if values.ndim == 2 and values.shape[1] else values
        if flags.ndim != 1 or not np.isin(flags, (0, 1)).all():
            msg = "the array is not an iscell.npy of suite2p: its first column holds other values than 0 and 1"
            if flags.ndim != 1:
                msg = f"the array is not an iscell.npy of suite2p: it has {values.ndim} dimensions"
            raise SourceError(
                msg, where=str(path), expected="0 or 1 in the first column", found=f"shape {values.shape}"
            )
        return {row: "cell" if flag else "not cell" for row, flag in enumerate(flags)}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            head = [name.strip() for name in reader.fieldnames or ()]
            if "roi" not in head or "label" not in head:
                msg = "the table lacks the columns roi and label"
                raise SourceError(msg, where=str(path), expected="roi, label", found=", ".join(head) or "no header")
            reader.fieldnames = head
            return _parse_rows(reader, path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = "the labels can't be read"
        raise SourceError(msg, where=str(path), expected="a CSV with roi, label", found=str(error)) from error


def _parse_rows(reader: csv.DictReader[str], path: Path) -> dict[int, str]:
    labels: dict[int, str] = {}
    for line in reader:
        where = f"{path}, line {reader.line_num}"
        roi, label = (line["roi"] or "").strip(), (line["label"] or "").strip()
        if not roi.isdecimal() or len(roi) > _MAX_DIGITS or not label:
            msg = "a row needs the number of an ROI, and a label"
            raise SourceError(msg, where=where, found=f"roi {roi!r}, label {label!r}")
        if int(roi) in labels:
            msg = f"the ROI {roi} has two labels"
            raise SourceError(msg, where=where, found=f"{labels[int(roi)]!r} and {label!r}")
        labels[int(roi)] = label
    return labels


def curate(
    path: Path | str,
    step: str,
    labels: Path | str | Mapping[int, str] | Mapping[str, str],
    *,
    who: str,
    replace: bool = False,
    lock_timeout: float = 60.0,
    seen: str | None = None,
) -> RunRecord:
    """Add a person's labels of a step's ROIs, or a curation of its units, to a session file, in one transaction.

    The labels are the table ``Curation_<step>_curation``: a row for each ROI, with a reference to it, its ``label``
    (empty where it has none), ``curated_iscell`` (by the label; the tool's value where the label does not decide),
    who gave it, when, and on which run. The tool's own table is not touched, so that results computed from it stay
    current. The labels have a run record, so they are renamed, removed and listed like any result. They refer to
    the run's ROIs: the segmentation can't be replaced under them, and another one never inherits them.

    Of a step that found units, the curation is the table ``Units_<step>_curation``: units with their labels, after
    merges, splits and removals, each with the units that it comes from (``source_units``).

    Parameters
    ----------
    path : path
        The session file.
    step : str
        The step that found the ROIs.
    labels : path or mapping
        ``iscell.npy``, a CSV (see `read_labels`), or labels by ROI (row of the segmentation, from 0). Of units: a
        CSV with unit and label, SpikeInterface's curation.json, the folder that `export_units` made for Phy, or
        labels by the name of the unit.
    who : str
        The person who gave the labels; written into the file.
    replace : bool
        Replace earlier labels of the step.
    lock_timeout : float
        Seconds to wait for another writer.
    seen : str, optional
        `LabelTable.state` of what the person looked at.

    Returns
    -------
    RunRecord

    Raises
    ------
    UnknownNameError
        If the file has no segmentation of that step.
    InputError
        If the segmentation lacks an ROI, an array of labels has another length, or the step has another run or other
        labels than those that were seen.
    ResultExistsError
        If the step has labels, and `replace` is false.
    """
    if not who.strip():
        msg = "the labels need the name of the person who gave them"
        raise InputError(msg, expected="a name", hint="--who NAME")
    session = SessionFile.at(path)
    session.require_changeable()
    sorting = session.read(lambda reader: find_units(reader, step))
    if sorting is not None:
        decisions = Path(labels) if isinstance(labels, (str, Path)) else UnitCuration(_name_units(labels))
        return curate_units(
            session, step, *sorting, decisions, who=who, replace=replace, lock_timeout=lock_timeout, seen=seen
        )
    sources: tuple[dict[str, Any], ...] = ()
    whole = False
    if isinstance(labels, (str, Path)):
        source = Path(labels)
        identity = identify_file(source)
        sources = ({"path": source.name, "size": identity.size, "sha256": identity.sha256},)
        by_roi: Mapping[int, str] = read_labels(source)
        whole = source.suffix == ".npy"
    else:
        by_roi = {int(roi): label for roi, label in labels.items()}
    run, segmentation = session.read(lambda reader: _find_segmentation(reader, step))
    name = name_curation(step)
    started = datetime.now(UTC)
    values = {"who": who, "labels": {str(roi): label for roi, label in sorted(by_roi.items())}}

    def write(nwbfile: NWBFile) -> None:
        table = nwbfile.objects.get(segmentation.object_id)
        if table is None:
            msg = "the segmentation was replaced meanwhile"
            raise InputError(msg, where=str(session), hint="look at the new ROIs before labelling them")
        count = len(table)
        wrong = [roi for roi in by_roi if not 0 <= roi < count]
        if wrong or (whole and len(by_roi) != count):
            msg = "the labels are not of these ROIs"
            found = f"{len(by_roi)} labels" if whole else f"ROI {', '.join(map(str, wrong[:5]))}"
            raise InputError(msg, where=str(labels), expected=f"{count} ROIs, from 0", found=found)
        nwbfile.processing["ophys"].add(_build_table(name, table, by_roi, who, started, run))

    return commit_curation(
        session,
        step,
        run,
        segmentation,
        write,
        values=values,
        sources=sources,
        started=started,
        already="labels",
        replace=replace,
        lock_timeout=lock_timeout,
        seen=seen,
    )


def _name_units(labels: Mapping[int, str] | Mapping[str, str]) -> dict[str, str]:
    return {str(unit): label for unit, label in labels.items()}


def _find_segmentation(reader: SessionReader, step: str) -> tuple[RunRecord, ObjectRecord]:
    """Return the step's current run, and its segmentation."""
    record = find_current_record(reader.records, step)
    path = None if record is None else find_output(reader.file, record, SEGMENTATION)
    if record is not None and path is not None:
        object_id = str(reader.file[path].attrs["object_id"])
        return record, ObjectRecord("segmentation", path, object_id, "PlaneSegmentation")
    msg = f"the file has no segmentation of a step {step!r}"
    hint = "`nwbpipe log FILE.nwb` shows the runs"
    raise UnknownNameError(msg, where=reader.file.filename, found=step, hint=hint)


def _build_table(
    name: str, segmentation: Any, labels: Mapping[int, str], who: str, when: datetime, run: RunRecord
) -> Any:
    from hdmf.common import DynamicTable, DynamicTableRegion, VectorData

    rows = list(range(len(segmentation)))
    tool = segmentation["iscell"].data[:] if "iscell" in segmentation.colnames else np.ones(len(rows), bool)
    texts = [labels.get(row, "") for row in rows]
    decisive = {**_CELL, **_NO_CELL}
    cell = [decisive.get(label.lower(), bool(tool[row])) for row, label in zip(rows, texts, strict=True)]
    columns = [
        DynamicTableRegion(
            name="roi", description=f"The ROI, a row of {segmentation.name}.", data=rows, table=segmentation
        ),
        VectorData(name="label", description="The person's label; empty where none was given.", data=texts),
        VectorData(
            name="curated_iscell",
            description="Whether it is a cell, by the label; as the tool has it where the label does not say.",
            data=cell,
        ),
        VectorData(name="curator", description="Whose label it is.", data=[who if label else "" for label in texts]),
        VectorData(
            name="curated_at",
            description="When it was given to the file, ISO 8601 in UTC.",
            data=[when.isoformat(timespec="seconds") if label else "" for label in texts],
        ),
        VectorData(
            name="run_id", description="Run whose ROI it is.", data=[run.run_id if label else "" for label in texts]
        ),
    ]
    return DynamicTable(
        name=f"Curation_{name}",
        description=f"Labels that {who} gave to the ROIs of the step {run.step}, run {run.run_id}.",
        columns=columns,
        colnames=[column.name for column in columns],
    )


def read_curated_cells(path: Path | str, step: str) -> np.ndarray | None:
    """Return True for each ROI of a step that is a cell by a person's labels; None if its run has no labels."""

    def read(reader: SessionReader) -> np.ndarray | None:
        run = find_current_record(reader.records, step)
        labels = find_current_record(reader.records, name_curation(step))
        if run is None or labels is None or labels.processor != CURATION:
            return None
        (output,) = labels.outputs
        outputs = [item.path for item in run.outputs]
        if output.path not in reader.file or not files.is_below(labels.inputs[0].path, outputs):
            return None
        return np.asarray(reader.file[f"{output.path}/curated_iscell"][()], dtype=bool)

    return SessionFile.at(path).read(read)
