"""One conversion in a process of its own, which tells what the disk gave it: SPEC OUTPUT REPORT [GROUP]."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

from benchmarks._memory_limit import join_group


def main() -> None:
    spec, output, report, *group = map(Path, sys.argv[1:])
    import neuroconv.datainterfaces  # noqa: F401
    import nwbinspector  # noqa: F401

    import nwbpipe
    from nwbpipe.converters._record import SourceIdentities

    wait, reads = SourceIdentities.wait, {}

    def wait_and_count(self: SourceIdentities) -> Any:
        identities = wait(self)
        reads["end"] = _count_read_bytes()  # what comes after reads the new file
        return identities

    SourceIdentities.wait = wait_and_count  # type: ignore[method-assign]
    for folder in group:
        join_group(folder)
    reads["start"] = _count_read_bytes()
    nwbpipe.convert(spec, output, progress=False)
    report.write_text(json.dumps({"bytes": reads["end"] - reads["start"]}))


def _count_read_bytes() -> int:
    """Return the bytes that the device delivered to this process."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
