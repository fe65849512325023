"""Motion of the tissue along a probe, as NWB has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbpipe.nwb_builders import regular_times

if TYPE_CHECKING:
    from pynwb import ProcessingModule

    from nwbpipe.processors._base import Context


def add_motion(module: ProcessingModule, context: Context, motion: Any, group_names: Sequence[str]) -> None:
    """Add ``Motion_<step>`` and ``MotionWindows_<step>``.

    Parameters
    ----------
    module : pynwb.ProcessingModule
    context : Context
    motion : mapping
        Arrays that `_spikesorting_series.store_motion` left.
    group_names : sequence of str
        Names of the electrode groups, in the order of the indices in `motion`.
    """
    from hdmf.common import DynamicTable, VectorData
    from pynwb import TimeSeries

    windows = context.name("MotionWindows")
    module.add(
        TimeSeries(
            name=context.name("Motion"),
            description="Displacement of the tissue along the probe, 0 at its median over time; positive: towards "
            f"larger depths (rel_y). One column for each depth window of {windows}",
            data=np.asarray(motion["displacement"][:], dtype="float32"),
            unit="micrometers",
            **regular_times(motion["times"][:]).arguments(),
        )
    )
    depths = np.asarray(motion["depths"][:], dtype="float64")
    groups = [group_names[int(group)] for group in motion["groups"][:]]
    module.add(
        DynamicTable(
            name=windows,
            description=f"Depth windows: the columns of {context.name('Motion')}",
            id=np.arange(len(depths)),
            columns=[
                VectorData(name="depth_um", description="Centre of the window along the probe", data=depths),
                VectorData(name="group_name", description="Electrode group", data=groups),
            ],
        )
    )
