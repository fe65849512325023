"""Two nodes commit to one file at once, through kills, a node without power and outages of the server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from tests.fixtures.nfs import Guest, Job, Network
from tests.fixtures.programs import wait_for
from tests.nfs.test_locks import EXPORT, acknowledged, errors, look

pytestmark = [pytest.mark.nfs, pytest.mark.timeout(5400)]
COMMITS = int(os.environ.get("NWBPIPE_NFS_COMMITS", "100"))  # of each node
_DEADLINE_S = 5000.0
_OUTAGE_S = 25.0


class Writer:
    """A node that commits until it has enough acknowledged commits, in spite of kills.

    Parameters
    ----------
    node : Guest
    path : str
        The file.
    """

    def __init__(self, node: Guest, path: str) -> None:
        self.node, self.path = node, path
        self._ended: list[str] = []
        self._job: Job | None = None
        self.begin()

    def begin(self) -> None:
        """Start the program; whether a killed commit stands is not known, so that its name is not used again."""
        self._keep()
        left = COMMITS - len(acknowledged("\n".join(self._ended)))
        self._job = self.node.begin_python("commit", self.path, f"{self.node.role}{len(self._ended)}", 0, left)

    def _keep(self) -> None:
        if self._job is not None:
            self._ended.append(self._job.output)
            self._job = None

    @property
    def output(self) -> str:
        """All that its programs have printed."""
        return "\n".join([*self._ended, self._job.output if self._job is not None else ""])

    def count(self) -> int:
        """Return the number of acknowledged commits."""
        return len(acknowledged(self.output))

    def tend(self) -> bool:
        """Start again what ended with errors; return True when all commits are acknowledged."""
        assert self._job is not None
        if self.count() >= COMMITS:
            return True
        if self._job.returncode is not None:
            self.begin()
        return False

    def kill(self) -> None:
        """Kill the program and start it again."""
        assert self._job is not None
        self._job.kill()
        self.begin()

    def lose_power(self, other: Writer) -> None:
        """Switch the node off; on again after the other one has gone on."""
        self.node.cut_power()
        self._keep()  # what a node wrote goes when it is switched on
        count = other.count()
        wait_for(lambda: other.count() > count + 2, f"{other.node.role} to go on: {other.output[-300:]}", 400)
        self.node.restart()
        self.begin()


def test_two_hundred_commits_through_kills_and_outages(nfs_network: Network) -> None:
    server, (a, b) = nfs_network.server, nfs_network.nodes
    path = "/run/nfs4/commits.h5"
    a.python("make", path)
    writers = [Writer(a, path), Writer(b, path)]

    def slower() -> Writer:
        return min(writers, key=Writer.count)  # it is surely at work

    def faster() -> Writer:
        return max(reversed(writers), key=Writer.count)

    def restart_server() -> None:
        server.cut_power()
        server.start()

    events: list[tuple[float, Callable[[], None]]] = [
        (0.1, lambda: slower().kill()),
        (0.2, lambda: nfs_network.stop_serving(_OUTAGE_S)),
        (0.3, lambda: slower().kill()),
        (0.4, lambda: faster().lose_power(slower())),
        (0.55, lambda: slower().kill()),
        (0.65, restart_server),
        (0.75, lambda: slower().kill()),
    ]
    end = time.monotonic() + _DEADLINE_S
    while not (writers[0].tend() & writers[1].tend()):
        assert time.monotonic() < end, [writer.output[-500:] for writer in writers]
        if events and sum(writer.count() for writer in writers) >= 2 * COMMITS * events[0][0]:
            events.pop(0)[1]()
        time.sleep(0.5)
    assert events == []
    outputs = "\n".join(writer.output for writer in writers)
    names = acknowledged(outputs)
    print(f"{len(names)} acknowledged, {len(errors(outputs))} refused:", *errors(outputs), sep="\n")
    assert len(names) == len(set(names)) == 2 * COMMITS
    for guest, place in ((server, f"{EXPORT}/commits.h5"), (a, path), (b, path)):
        state = look(guest, place)
        assert set(names) - set(state["names"]) == set()
        assert state["wrong"] == []
    assert len(errors(outputs)) < 10, "an outage costs a commit or two, not many"
