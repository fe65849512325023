"""What is known of a project's runs beside its session files: run objects, logs, leases, and a local index."""

from nwbpipe.engine.state._index import Index, Stats
from nwbpipe.engine.state._leases import Lease, Leases
from nwbpipe.engine.state._looks import Looks
from nwbpipe.engine.state._runs import Outcome, RunObject, Runs

__all__ = ["Index", "Lease", "Leases", "Looks", "Outcome", "RunObject", "Runs", "Stats"]
