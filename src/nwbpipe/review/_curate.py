"""Labels that a person gives to ROIs: beside the tool's own, bound to the very run whose ROIs they are."""

from __future__ import annotations

import csv
import platform
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from nwbpipe import __version__, files
from nwbpipe import session as session_file
from nwbpipe.errors import InputError, ResultExistsError, SourceError, UnknownNameError
from nwbpipe.provenance import (
    ObjectRecord,
    RunRecord,
    check_step_name,
    digest,
    find_current_record,
    identify_file,
    mark_superseded,
    parameters_hash,
    read_host_label,
    read_records,
    run_key,
)
from nwbpipe.review._imaging_results import SEGMENTATION, find_output
from nwbpipe.session import CURATION, commit_result, remove_outputs

if TYPE_CHECKING:
    from pynwb import NWBFile

_SUFFIX = "_curation"
#: Words that say whether it is a cell; other words are labels that don't.
_CELL = {"cell": True, "soma": True, "1": True, "true": True, "yes": True}
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
        If it is neither, an ROI is named twice, or a label is empty.
    """
    if path.suffix == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            msg = "the labels can't be read"
            raise SourceError(msg, where=str(path), expected="iscell.npy of suite2p", found=str(error)) from error
        flags = values[:, 0] if values.ndim == 2 else values
        if flags.ndim != 1 or not np.isin(flags, (0, 1)).all():
            msg = "the array says not for each ROI whether it is a cell"
            raise SourceError(
                msg, where=str(path), expected="0 or 1 in the first column", found=f"shape {values.shape}"
            )
        return {row: "cell" if flag else "not cell" for row, flag in enumerate(flags)}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            head = [name.strip() for name in reader.fieldnames or ()]
            if "roi" not in head or "label" not in head:
                msg = "the table has not the columns that are needed"
                raise SourceError(msg, where=str(path), expected="roi, label", found=", ".join(head) or "none")
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
        if not roi.isdigit() or not label:
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
    labels: Path | str | Mapping[int, str],
    *,
    who: str,
    replace: bool = False,
    lock_timeout: float = 60.0,
) -> RunRecord:
    """Add a person's labels of a step's ROIs to a session file, in one transaction.

    The labels are the table ``Curation_<step>_curation``: a row for each ROI, with a reference to it, its ``label``
    (empty where it has none), ``curated_iscell`` (what the label says; the tool's word where there is none), who gave
    it, when, and on which run. The tool's own table is not touched, so that nothing that was computed from it is
    stale. Its record is one of a run, so the labels are renamed, removed and listed like any result. They refer to
    the run's ROIs: the segmentation can't be replaced under them, and another one never inherits them.

    Parameters
    ----------
    path : path
        The session file.
    step : str
        The step whose ROIs they are.
    labels : path or mapping
        ``iscell.npy``, a CSV (see `read_labels`), or labels by ROI (row of the segmentation, from 0).
    who : str
        Whose labels they are; it is written into the file.
    replace : bool
        Whether earlier labels of the step may be replaced.
    lock_timeout : float
        Seconds to wait for another writer.

    Returns
    -------
    RunRecord

    Raises
    ------
    UnknownNameError
        If the file has no segmentation of that step.
    InputError
        If an ROI is not there, or an array of labels is not of all ROIs.
    ResultExistsError
        If the step has labels, and `replace` is false.
    """
    if not who.strip():
        msg = "whose labels are they?"
        raise InputError(msg, expected="a name", hint="--who NAME")
    session_file.check_changeable(path)
    session = session_file.check_readable(path)
    sources: tuple[dict[str, Any], ...] = ()
    whole = False
    if isinstance(labels, (str, Path)):
        source = Path(labels)
        identity = identify_file(source)
        sources = ({"path": source.name, "size": identity.size, "sha256": identity.sha256},)
        given: Mapping[int, str] = read_labels(source)
        whole = source.suffix == ".npy"
    else:
        given = labels
    run, segmentation_id, segmentation_path = _find_segmentation(session, step)
    name = check_step_name(step + _SUFFIX)
    run_id, started = uuid.uuid4().hex, datetime.now(UTC)
    values = {"who": who, "labels": {str(roi): label for roi, label in sorted(given.items())}}

    def make_room(file: h5py.File) -> list[str]:
        earlier = find_current_record(read_records(file), name)
        if earlier is None:
            return []
        if not replace:
            msg = f"the step {step!r} has labels already"
            raise ResultExistsError(
                msg, where=str(session), found=earlier.parameters.get("who", ""), hint="--replace"
            )
        remove_outputs(file, earlier)
        mark_superseded(file, name, run_id)
        return [output.path for output in earlier.outputs]

    def write(nwbfile: NWBFile) -> None:
        segmentation = nwbfile.objects.get(segmentation_id)
        if segmentation is None:
            msg = "the segmentation was replaced meanwhile"
            raise InputError(msg, where=str(session), hint="look at the new ROIs before labelling them")
        count = len(segmentation)
        wrong = [roi for roi in given if not 0 <= roi < count]
        if wrong or (whole and len(given) != count):
            msg = "the labels are not of these ROIs"
            found = f"{len(given)} labels" if whole else f"ROI {', '.join(map(str, wrong[:5]))}"
            raise InputError(msg, where=str(labels), expected=f"{count} ROIs, from 0", found=found)
        nwbfile.processing["ophys"].add(_build_table(name, segmentation, given, who, started, run))

    def record_of(outputs: tuple[ObjectRecord, ...]) -> RunRecord:
        return RunRecord(
            key=run_key(CURATION, 1, values, None, {"run": run.run_id}),
            run_id=run_id,
            step=name,
            processor=CURATION,
            revision=1,
            tool="person",
            tool_version="",
            parameters=values,
            parameters_hash=parameters_hash(values),
            inputs=(ObjectRecord("segmentation", segmentation_path, segmentation_id, "PlaneSegmentation"),),
            outputs=outputs,
            started=started,
            ended=datetime.now(UTC),
            host=read_host_label(),
            python=platform.python_version(),
            compute_digest=digest(b""),
            software=f"nwbpipe {__version__}",
            sources=sources,
        )

    return session_file.retry_after_conflicts(
        lambda: commit_result(session, make_room, write, record_of, lock_timeout=lock_timeout)
    )


def _find_segmentation(session: Path | str, step: str) -> tuple[RunRecord, str, str]:
    """The step's current run, and the object id and path of its segmentation."""
    record = find_current_record(read_records(session), step)
    with session_file.open_hdf5(session) as file:
        place = None if record is None else find_output(file, record, SEGMENTATION)
        if record is not None and place is not None:
            return record, str(file[place].attrs["object_id"]), place
    msg = f"the file has no segmentation of a step {step!r}"
    raise UnknownNameError(msg, where=str(session), found=step, hint="`nwbpipe log FILE.nwb` shows the runs")


def _build_table(
    name: str, segmentation: Any, labels: Mapping[int, str], who: str, when: datetime, run: RunRecord
) -> Any:
    from hdmf.common import DynamicTable, DynamicTableRegion, VectorData

    rows = list(range(len(segmentation)))
    tool = segmentation["iscell"].data[:] if "iscell" in segmentation.colnames else np.ones(len(rows), bool)
    said = [labels.get(row, "") for row in rows]
    known = {**_CELL, **_NO_CELL}
    cell = [known.get(label.lower(), bool(tool[row])) for row, label in zip(rows, said, strict=True)]
    given = [bool(label) for label in said]
    columns = [
        DynamicTableRegion(
            name="roi", description=f"The ROI, a row of {segmentation.name}.", data=rows, table=segmentation
        ),
        VectorData(name="label", description="The person's label; empty where none was given.", data=said),
        VectorData(
            name="curated_iscell",
            description="Whether it is a cell, by the label; as the tool has it where the label does not say.",
            data=cell,
        ),
        VectorData(name="curator", description="Whose label it is.", data=[who if one else "" for one in given]),
        VectorData(
            name="curated_at",
            description="When it was given to the file, ISO 8601 in UTC.",
            data=[when.isoformat(timespec="seconds") if one else "" for one in given],
        ),
        VectorData(
            name="run_id", description="Run whose ROI it is.", data=[run.run_id if one else "" for one in given]
        ),
    ]
    return DynamicTable(
        name=f"Curation_{name}",
        description=f"Labels that {who} gave to the ROIs of the step {run.step}, run {run.run_id}.",
        columns=columns,
        colnames=[column.name for column in columns],
    )


def read_curated_cells(path: Path | str, step: str) -> np.ndarray | None:
    """Return for each ROI of a step whether it is a cell by a person's labels; None if there are none of its run."""
    session = session_file.check_readable(path)
    records = read_records(session)
    run, labels = find_current_record(records, step), find_current_record(records, step + _SUFFIX)
    if run is None or labels is None or labels.processor != CURATION:
        return None
    with session_file.open_hdf5(session) as file:
        (output,) = labels.outputs
        if output.path not in file or not files.is_below(labels.inputs[0].path, [one.path for one in run.outputs]):
            return None
        return np.asarray(file[f"{output.path}/curated_iscell"][()], dtype=bool)
