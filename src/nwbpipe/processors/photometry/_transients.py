"""The processor ``transients``: transients of photometry traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from nwbpipe.environments import Tool
from nwbpipe.processors._base import Context, Input, Params, Processor, Results
from nwbpipe.processors.photometry import _traces

if TYPE_CHECKING:
    from pynwb import NWBFile


class TransientsParams(Params):
    """Parameters of ``transients``; a trace's spread is 1.4826 × its median absolute deviation."""

    threshold: float = Field(3.0, ge=0, description="Height of a transient over the trace's median, in spreads.")
    prominence: float = Field(3.0, ge=0, description="Height over the valleys on its sides, in spreads.")
    distance_s: float = Field(0.5, ge=0, description="Least time between two transients; the higher one stays.")
    min_width_s: float = Field(0.05, ge=0, description="Least width at half of the prominence, in seconds.")
    max_width_s: float | None = Field(None, gt=0, description="Greatest width at half of the prominence, in seconds.")

    @model_validator(mode="after")
    def _check_order(self) -> TransientsParams:
        if self.max_width_s is not None and self.max_width_s <= self.min_width_s:
            msg = "max_width_s must be larger than min_width_s"
            raise ValueError(msg)
        return self


class Transients(Processor):
    """Transients of photometry traces: peaks of dF/F or z-score (`scipy.signal.find_peaks`).

    Results go into ``ophys`` as an `EventsTable`, a row a transient: time of its peak, trace, height, prominence,
    width.
    """

    name: ClassVar[str] = "transients"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ophys"
    containers: ClassVar[tuple[str, ...]] = ("Transients",)
    inputs: ClassVar[Mapping[str, Input]] = {"trace": Input(_traces.SERIES, doc="dF/F or z-score, a trace a column")}
    Params: ClassVar[type[Params]] = TransientsParams
    tool: ClassVar[Tool] = Tool("scipy", ("scipy>=1.11", "numpy>=1.24", "h5py>=3.8"), licence="BSD-3-Clause")
    compute: ClassVar[str] = "nwbpipe.processors.photometry._transients_compute"

    def prepare(self, nwbfile: NWBFile, context: Context) -> Mapping[str, Any]:
        """Check the series; return its traces in words."""
        series, path = context.input(nwbfile, "trace"), context.inputs["trace"].path
        _traces.check_times(series, path, least=3)
        return {"labels": _traces.labels(series, path)}

    def write(self, nwbfile: NWBFile, results: Results, context: Context) -> None:
        """Add the table of transients."""
        from hdmf.common import VectorData
        from pynwb.event import EventsTable, TimestampVectorData

        series, labels, arrays = context.input(nwbfile, "trace"), context.facts["labels"], results.arrays
        counts = results.summary["counts"]
        traces = np.array([labels[int(k)] for k in arrays["column"]], dtype=str)  # none found is a result, too
        counts_text = "; ".join(
            f"{label}: {count} in {seconds:.0f} s"
            for label, count, seconds in zip(labels, counts, results.summary["observed_s"], strict=True)
        )
        columns: list[Any] = [
            TimestampVectorData(name="timestamp", description="time of the peak", data=arrays["time"][()]),
            VectorData(name="trace", description="the trace in words", data=traces),
            VectorData(name="height", description="value at the peak", data=arrays["height"][()]),
            VectorData(name="prominence", description="height over its valleys", data=arrays["prominence"][()]),
            VectorData(
                name="width_s", description="width at half prominence, in seconds", data=arrays["width_s"][()]
            ),
        ]
        context.module(nwbfile, self.module).add(
            EventsTable(
                name=context.name("Transients"),
                description=f"Transients of {series.name} at {_traces.rate_text(series)}. {counts_text}",
                columns=columns,
            )
        )
