"""Run the benchmarks and print their tables."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from benchmarks._report import machine, note

BENCHES = (
    "startup",
    "identity",
    "commit",
    "conversion",
    "writing",
    "s3",
    "video",
    "tools",
    "pose",
    "photometry",
    "electrophysiology",
    "clocks",
    "project",
    "runs",
    "queries",
    "loading",
    "pages",
)
#: Those that take an hour each, or install other programs: left out of the small sizes.
LONG = ("peers", "scale")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and memory.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which: {', '.join((*BENCHES, *LONG))} (default: all; with --quick without the last {len(LONG)})",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and few repeats: does it run at all")
    parser.add_argument("--folder", type=Path, help="where to put the generated files (they are removed again)")
    parser.add_argument(
        "--sizes", nargs="*", type=int, metavar="N", help="peers, scale: how many sessions (20 60 200; 50 200 1000)"
    )
    parser.add_argument("--kills", type=int, metavar="N", help="peers: how often each tool is killed (5; 0: never)")
    options = parser.parse_args()
    unknown = set(options.names) - {*BENCHES, *LONG}
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join((*BENCHES, *LONG))}")
    chosen = {name: value for name in ("sizes", "kills") if (value := getattr(options, name)) is not None}
    if chosen and options.names != ["peers"] and (options.names != ["scale"] or "kills" in chosen):
        parser.error("--sizes and --kills are of the benchmark peers, --sizes of scale, too")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started and written is cleared up
    machine()
    for name in options.names or (BENCHES if options.quick else (*BENCHES, *LONG)):
        started = time.perf_counter()
        bench = import_module(f"benchmarks.{name}")
        note(f"\n## {(bench.__doc__ or name).splitlines()[0].rstrip('.')}\n")
        with tempfile.TemporaryDirectory(prefix="nwbpipe-bench-", dir=options.folder) as folder:
            for kind in ("LOGS", "SCRATCH", "CACHE"):  # nothing of it in the user's own places
                os.environ[f"NWBPIPE_{kind}"] = str(Path(folder) / kind.lower())
            bench.run(Path(folder), quick=options.quick, **chosen)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
