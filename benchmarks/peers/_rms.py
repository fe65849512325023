"""The work as a processor of nwbpipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from nwbpipe import Context, Input, Params, Processor, Results, Tool


class RmsParams(Params):
    """How long a window is."""

    window: int = 1000


class Rms(Processor):
    """Keep the RMS of a series in windows."""

    name: ClassVar[str] = "rms"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "ecephys"
    containers: ClassVar[tuple[str, ...]] = ("Rms",)
    inputs: ClassVar[Mapping[str, Input]] = {"series": Input("TimeSeries")}
    Params: ClassVar[type[Params]] = RmsParams
    tool: ClassVar[Tool] = Tool("numpy", ("numpy", "h5py"))
    compute: ClassVar[str] = "benchmarks.peers._rms_compute"

    def write(self, nwbfile: Any, results: Results, context: Context) -> None:
        from pynwb import TimeSeries

        values = results.arrays["rms"][()]
        series = TimeSeries(name=context.name("Rms"), data=values, unit="V", rate=1000.0 / context.params.window)
        context.module(nwbfile, self.module).add(series)
