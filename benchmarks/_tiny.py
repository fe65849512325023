"""A processor that computes next to nothing: what is left is nwbpipe's own cost."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from nwbpipe import Context, Input, Processor, Results, Tool, process


class Tiny(Processor):
    """Keep the mean of a series."""

    name: ClassVar[str] = "tiny"
    revision: ClassVar[int] = 1
    module: ClassVar[str] = "behavior"
    inputs: ClassVar[Mapping[str, Input]] = {"series": Input("TimeSeries")}
    tool: ClassVar[Tool] = Tool("numpy", ("numpy", "h5py"))
    compute: ClassVar[str] = "benchmarks._tiny_compute"

    def write(self, nwbfile: Any, results: Results, context: Context) -> None:
        from pynwb import TimeSeries

        mean = TimeSeries(name=context.name("Mean"), data=results.arrays["mean"][()], unit="V", rate=1.0)
        context.module(nwbfile, self.module).add(mean)


if __name__ == "__main__":  # in a process of its own: python -m benchmarks._tiny FILE.nwb
    print(process(Path(sys.argv[1]), Tiny()).computed)
