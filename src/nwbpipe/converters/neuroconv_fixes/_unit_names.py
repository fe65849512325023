"""Units of several sortings are all written.

NeuroConv leaves out a unit whose name is in the table already: of two sortings with the units 0, 1, 2, … the second
would be lost in silence.

Upstream: https://github.com/catalystneuro/neuroconv/issues/1079, closed with the advice to rename the units; seen in
NeuroConv 0.10.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nwbpipe.converters._source import Source


def rename_units(sources: Iterable[Source]) -> None:
    """Give the units of a sorting whose names another sorting has names with their source's."""
    used: set[str] = set()
    for source in sources:
        sorting: Any = getattr(source.interface, "sorting_extractor", None)
        if sorting is None:
            continue
        names = sorting.get_property("unit_name")
        names = [str(name) for name in (sorting.get_unit_ids() if names is None else names)]
        if used & set(names):
            names = [f"{source.name}_{name}" for name in names]
            sorting.set_property("unit_name", np.array(names))
        used |= set(names)
