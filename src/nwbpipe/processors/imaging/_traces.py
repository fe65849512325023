"""What a processor must know of traces before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.errors import InputError
from nwbpipe.processors.imaging._movie import regular_rate

if TYPE_CHECKING:
    from pynwb import NWBFile

    from nwbpipe.processors._base import Context


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
        ``rate`` in Hz and ``gaps`` (see `movie_facts`).

    Raises
    ------
    InputError
        If the times are not regular, or shapes or ROIs differ.
    """
    series, path = context.input(nwbfile, name), context.inputs[name].path
    shape, rows = tuple(series.data.shape), np.asarray(series.rois.data[:])
    if series.rate is not None:
        facts: dict[str, Any] = {"rate": float(series.rate), "gaps": 0}
    else:
        facts = regular_rate(np.asarray(series.timestamps, dtype=np.float64), shape[0], path)
    for other in others:
        if other not in context.inputs:
            continue
        found = context.input(nwbfile, other)
        same = found.rois.table is series.rois.table and np.array_equal(found.rois.data[:], rows)
        if tuple(found.data.shape) != shape or not same:
            msg = f"the inputs {name!r} and {other!r} don't belong together"
            raise InputError(
                msg,
                where=context.inputs[other].path,
                expected=f"{shape} of the ROIs of {series.rois.table.name}",
                found=f"{tuple(found.data.shape)} of the ROIs of {found.rois.table.name}",
                hint="bind series of one container",
            )
    return facts
