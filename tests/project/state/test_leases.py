from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nwbpipe import stores
from nwbpipe.machine import identify_machine
from nwbpipe.project.state import Leases, _leases, find_runner
from tests.fixtures.machine import Clock


def foreign(store: stores.Store, **changes: object) -> None:
    """Write the lease of another machine."""
    content = {"owner": "x", "machine": "another", "pid": 1, "pid_since": 0.0, "ttl_s": 0.4, "beat": 0, **changes}
    store.write_bytes("leases/k.json", json.dumps(content).encode())


def test_one_holds_a_lease(tmp_path: Path) -> None:
    store = stores.open_store(tmp_path)
    one, other = Leases(store), Leases(store)
    lease = one.take("k", session="M/1", step="s")
    assert lease is not None
    assert other.take("k") is None
    assert [content["session"] for content in other.list_active()] == ["M/1"]
    one.release(lease)
    assert other.take("k") is not None
    other.close()
    assert other.list_active() == []


def test_a_lease_of_a_process_that_is_gone_is_void_at_once(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom nwbpipe import stores\nfrom nwbpipe.project.state import Leases\n"
        "Leases(stores.open_store(sys.argv[1])).take('k'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        mine = Leases(stores.open_store(tmp_path))
        assert mine.take("k") is None
        owner.kill()
        owner.wait()
        assert mine.list_active() == []
        lease = mine.take("k")
        assert lease is not None
        mine.close()


def test_another_machines_lease_is_void_when_it_has_not_changed(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_leases, "time", clock)
    store = stores.open_store(tmp_path)
    mine = Leases(store)
    foreign(store, since=time.time() + 10**6)  # its clock is far ahead
    assert mine.take("k") is None
    clock.passed += 0.25
    foreign(store, beat=1)
    assert mine.take("k") is None
    clock.passed += 0.25
    assert mine.take("k") is None, "it changed less than its time to live ago"
    clock.passed += 0.45
    assert mine.take("k") is not None
    mine.close()


def test_a_lease_that_was_taken_over_is_known_to_be_lost(tmp_path: Path) -> None:
    store = stores.open_store(tmp_path)
    mine = Leases(store, ttl=0.2)
    lease = mine.take("k")
    assert lease is not None
    store.remove("leases/k.json")
    foreign(store)
    end = time.monotonic() + 10
    while not lease.lost and time.monotonic() < end:
        time.sleep(0.02)
    assert lease.lost
    mine.close()
    assert store.exists("leases/k.json"), "the other's lease is left alone"


def test_a_heartbeat_keeps_a_lease(tmp_path: Path) -> None:
    store = stores.open_store(tmp_path)
    mine = Leases(store, ttl=0.4)
    lease = mine.take("k")
    assert lease is not None
    first = store.stat("leases/k.json").tag
    end = time.monotonic() + 10
    while store.stat("leases/k.json").tag == first and time.monotonic() < end:
        time.sleep(0.02)
    assert store.stat("leases/k.json").tag != first
    assert not lease.lost
    mine.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"machine": 3}'])
def test_a_lease_that_cannot_be_read_is_void(tmp_path: Path, content: bytes) -> None:
    store = stores.open_store(tmp_path)
    store.write_bytes("leases/k.json", content)
    mine = Leases(store, ttl=0.1)
    end = time.monotonic() + 10
    while (lease := mine.take("k")) is None and time.monotonic() < end:
        time.sleep(0.05)
    assert lease is not None
    mine.close()


def test_a_machine_has_a_name_that_tells_nothing() -> None:
    import platform

    assert identify_machine() == identify_machine()
    assert platform.node() not in identify_machine()


def test_the_worker_that_adopts_a_lease_holds_it_and_its_runner_can_release_it_when_that_has_died(
    tmp_path: Path,
) -> None:
    store = stores.open_store(tmp_path)
    runner, worker, other = Leases(store), Leases(store), Leases(store)
    taken = runner.take("k", session="M/1", step="s", waits="a worker", scheduler="slurm", job="3")
    assert taken is not None
    assert worker.adopt(taken.path, "another runner") is None
    adopted = worker.adopt(taken.path, runner.owner, job="17")
    assert adopted is not None
    (content,) = other.list_active()
    assert (content["session"], content["job"], content["owner"]) == ("M/1", "17", runner.owner)
    assert not {"waits", "scheduler"} & set(content)
    assert find_runner(content) == find_runner(taken.content)
    assert find_runner(taken.content) == {name: taken.content[name] for name in ("machine", "pid", "pid_since")}
    assert {"runner_machine", "runner_pid", "runner_pid_since"} <= content.keys()
    runner.change(taken, waits="")  # the runner hears of it late
    runner.release(taken)
    assert other.take("k") is None
    runner.release(taken, adopted=True)  # the worker died
    lease = other.take("k")
    assert lease is not None
    assert worker.adopt(taken.path, runner.owner) is None
    worker.close()
    runner.release(taken, adopted=True)
    assert [content["owner"] for content in runner.list_active()] == [other.owner]
    other.close()
