"""State of a project outside of its session files: run objects, logs, leases, and a local index."""

from nwbpipe.project.state._file_stats import FileStats
from nwbpipe.project.state._index import Index, Stat, Stats
from nwbpipe.project.state._leases import Lease, Leases, find_runner
from nwbpipe.project.state._runs import Outcome, RunObject, RunStore

__all__ = [
    "FileStats",
    "Index",
    "Lease",
    "Leases",
    "Outcome",
    "RunObject",
    "RunStore",
    "Stat",
    "Stats",
    "find_runner",
]
