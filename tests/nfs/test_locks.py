"""Locks on a real NFS: those that don't reach, a writer's on the server, and those of a node without power."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.fixtures.nfs import LEASE_S, Guest, Job, Network
from tests.fixtures.programs import wait_for

pytestmark = [pytest.mark.nfs, pytest.mark.timeout(1200)]
EXPORT = "/run/export/files"


def acknowledged(output: str) -> list[str]:
    return [line.split()[1] for line in output.splitlines() if line.startswith("ok ")]


def errors(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("error ")]


def look(guest: Guest, path: str) -> dict[str, Any]:
    """Return the names of the commits in a file, those that are wrong, and what lies beside it."""
    return dict(json.loads(guest.python("check", path, timeout=300)))


def wait_for_line(job: Job, start: str, timeout: float = 300.0) -> None:
    wait_for(lambda: f"\n{start}" in f"\n{job.output}", f"{job.name} to print '{start}'", timeout)


@pytest.mark.parametrize("mount", ["nolock", "local_lock"])
def test_locks_that_do_not_reach_are_refused(nfs_network: Network, mount: str) -> None:
    a, _ = nfs_network.nodes
    path = f"/run/{mount}/{mount}.h5"
    a.python("make", path)
    output = a.python("commit", path, "a", 0, 1)
    assert "don't reach other machines" in output
    assert "nolock" in output if mount == "nolock" else "local_lock=flock" in output
    assert acknowledged(a.python("commit", path, "a", 0, 1, variables="NWBPIPE_LOCAL_LOCKS=1")) == ["a_0"]
    assert look(a, path)["names"] == ["a_0"]


def test_a_living_node_s_unfinished_file_stays(nfs_network: Network) -> None:
    a, b = nfs_network.nodes
    path = "/run/nolock/living.h5"
    a.python("make", path)
    held = b.begin_python("hold", path, "/run/go", variables="NWBPIPE_LOCAL_LOCKS=1")
    wait_for_line(held, "holds")
    assert acknowledged(a.python("commit", path, "a", 0, 2, variables="NWBPIPE_LOCAL_LOCKS=1")) == ["a_0", "a_1"]
    state = look(a, path)
    assert [name for name in state["beside"] if name.endswith(".partial")], state
    b.run("touch /run/go")
    assert "another program changed the file meanwhile" in held.wait(120)
    state = look(b, path)
    assert (state["names"], state["wrong"], state["beside"]) == (["a_0", "a_1"], [], [])


@pytest.mark.parametrize("mount", ["nfs4", "nfs3"])
def test_a_writer_on_the_server_and_a_node_wait_for_each_other(nfs_network: Network, mount: str) -> None:
    server, (a, _) = nfs_network.server, nfs_network.nodes
    name = f"beside-{mount}.h5"
    server.python("make", f"{EXPORT}/{name}")
    jobs = [
        server.begin_python("commit", f"{EXPORT}/{name}", "server", 0, 12),
        a.begin_python("commit", f"/run/{mount}/{name}", "a", 0, 12),
    ]
    outputs = [job.wait(600) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], outputs
    assert [line for output in outputs for line in errors(output)] == []
    for guest, folder in ((server, EXPORT), (a, f"/run/{mount}")):
        state = look(guest, f"{folder}/{name}")
        assert sorted(state["names"]) == sorted(name for output in outputs for name in acknowledged(output))
        assert len(state["names"]) == 24
        assert (state["wrong"], state["beside"]) == ([], [])


def test_a_commit_on_the_server_waits_for_a_node_that_reads(nfs_network: Network) -> None:
    server, (a, _) = nfs_network.server, nfs_network.nodes
    server.python("make", f"{EXPORT}/read.h5")
    reader = a.begin_python("lock_hdf5", "/run/nfs4/read.h5", "/run/closed")
    wait_for_line(reader, "open")
    output = server.python("commit", f"{EXPORT}/read.h5", "server", 0, 1, 0, 2)
    assert "a machine to which this one serves the disk (NFS)" in output
    a.run("touch /run/closed")
    reader.wait(60)
    assert acknowledged(server.python("commit", f"{EXPORT}/read.h5", "server", 1, 2)) == ["server_1"]
    assert look(a, "/run/nfs4/read.h5")["names"] == ["server_1"]


def test_the_lock_of_a_node_without_power_is_waited_for(nfs_network: Network) -> None:
    a, b = nfs_network.nodes
    a.python("make", "/run/nfs4/dead.h5")
    b.python("check", "/run/nfs4/dead.h5", timeout=300)
    held = a.begin_python("hold", "/run/nfs4/dead.h5", "/run/never")
    wait_for_line(held, "holds")
    a.cut_power()
    try:
        began = time.monotonic()
        output = b.python("commit", "/run/nfs4/dead.h5", "b", 0, 1, timeout=300)
        assert acknowledged(output) == ["b_0"], output
        assert time.monotonic() - began > LEASE_S / 2
        state = look(b, "/run/nfs4/dead.h5")
        assert (state["names"], state["wrong"]) == (["b_0"], [])
        assert len(state["beside"]) == 1  # what a dead machine was building stays for a day
    finally:
        a.restart()
