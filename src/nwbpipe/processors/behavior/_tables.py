"""Tables that the processors of behaviour share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nwbpipe.processors._base import Context


def row_ids(table: Any) -> npt.NDArray[np.int64]:
    """Return the ids of a table's rows."""
    return np.asarray(table.id[:], dtype=np.int64)


def add_dropped(module: Any, context: Context, dropped: Sequence[tuple[int, str]]) -> None:
    """Add ``DroppedTrials_<step>``: the id of each trial that gave no result, and why; nothing if there are none."""
    if not dropped:
        return
    from hdmf.common import DynamicTable, VectorData

    columns = [
        VectorData(name="trial", description="id of the trial", data=np.array([row for row, _ in dropped])),
        VectorData(name="reason", description="why it was dropped", data=[reason for _, reason in dropped]),
    ]
    text = f"Trials that gave no result: {len(dropped)}."
    module.add(DynamicTable(name=context.name("DroppedTrials"), description=text, columns=columns))
