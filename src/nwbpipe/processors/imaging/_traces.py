"""Check traces and select their ROIs before a processor starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.errors import InputError
from nwbpipe.processors._base import Input
from nwbpipe.processors.imaging._movie import check_regular_rate

if TYPE_CHECKING:
    from pynwb import NWBFile

    from nwbpipe.processors._base import Context

#: The input ``rois``: a table that says which ROIs are taken. As an input, what it says is part of a run's key.
ROIS = Input(
    "DynamicTable",
    doc="which of the ROIs: RoiQuality (that did not fail), Curation (cells by a person's labels), or their own "
    "PlaneSegmentation (iscell); without it, all",
    optional=True,
)


def trace_facts(nwbfile: NWBFile, context: Context, name: str, *others: str) -> dict[str, Any]:
    """Return the rate of the traces that are the input `name`, and check that `others` are of the same ROIs.

    Parameters
    ----------
    nwbfile : pynwb.NWBFile
    context : Context
    name : str
        An input.
    *others : str
        Further inputs; those that are not bound are passed over.

    Returns
    -------
    dict
        ``rate`` in Hz, ``gaps`` (see `movie_facts`), and ``columns`` of the traces that the input ``rois`` leaves.

    Raises
    ------
    InputError
        If the times are not regular, shapes or ROIs differ, or ``rois`` is of others or leaves none.
    """
    series, path = context.input(nwbfile, name), context.inputs[name].path
    shape, rows = tuple(series.data.shape), np.asarray(series.rois.data[:])
    if series.rate is not None:
        facts: dict[str, Any] = {"rate": float(series.rate), "gaps": 0}
    else:
        facts = check_regular_rate(np.asarray(series.timestamps, dtype=np.float64), shape[0], path)
    for other_name in others:
        if other_name not in context.inputs:
            continue
        other_series = context.input(nwbfile, other_name)
        same = other_series.rois.table is series.rois.table and np.array_equal(other_series.rois.data[:], rows)
        if tuple(other_series.data.shape) != shape or not same:
            msg = f"the inputs {name!r} and {other_name!r} don't belong together"
            raise InputError(
                msg,
                where=context.inputs[other_name].path,
                expected=f"{shape} of the ROIs of {series.rois.table.name}",
                found=f"{tuple(other_series.data.shape)} of the ROIs of {other_series.rois.table.name}",
                hint="bind series of one container",
            )
    facts["columns"] = list(range(len(rows)))
    if "rois" in context.inputs:
        good = _good_rois(context.input(nwbfile, "rois"), series.rois.table, context.inputs["rois"].path)
        if unknown := sorted(set(rows.tolist()) - set(good)):
            msg = f"the table does not say whether the ROI {unknown[0]} is to be taken"
            raise InputError(msg, where=context.inputs["rois"].path, expected=f"all ROIs of {path}")
        facts["columns"] = [column for column, row in enumerate(rows.tolist()) if good[row]]
        if not facts["columns"]:
            msg = "no ROI is left: the table takes none of them"
            raise InputError(msg, where=context.inputs["rois"].path, found=f"0 of {len(rows)} ROIs of {path}")
    return facts


def _good_rois(table: Any, segmentation: Any, path: str) -> dict[int, bool]:
    """For each row of a segmentation that a table speaks of, whether it takes that ROI."""
    columns = table.colnames
    verdict_column = next((name for name in ("verdict", "curated_iscell", "iscell") if name in columns), None)
    if verdict_column is None or (table is not segmentation and "roi" not in columns):
        msg = "the table does not say which ROIs are to be taken"
        raise InputError(
            msg,
            where=path,
            expected="RoiQuality_…, Curation_…, or a PlaneSegmentation with the column iscell",
            found=", ".join(columns),
            hint="`nwbpipe qc FILE.nwb --measure` writes verdicts",
        )
    if table is not segmentation and table["roi"].table is not segmentation:
        msg = "the table is of other ROIs than the traces"
        raise InputError(msg, where=path, expected=segmentation.name, found=table["roi"].table.name)
    rows = range(len(table)) if table is segmentation else [int(row) for row in table["roi"].data[:]]
    values = table[verdict_column].data[:]
    return {
        row: value != "fail" if verdict_column == "verdict" else bool(value)
        for row, value in zip(rows, values, strict=True)
    }


def select_rois(series: Any, context: Context) -> tuple[list[int], str]:
    """Return the ROIs (rows of their table) of a result made from traces, and a sentence on which these are."""
    rows = [int(series.rois.data[column]) for column in context.facts["columns"]]
    if "rois" not in context.inputs:
        return rows, ""
    table = context.inputs["rois"].path.rpartition("/")[2]
    return rows, f" Of {len(rows)} of {len(series.rois.data)} ROIs: those that {table} takes."
