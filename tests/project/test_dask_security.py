"""Whoever reaches an open port of Dask runs code as the user: none is open to others."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from nwbpipe.errors import RequestError, ToolMissingError
from nwbpipe.processors import Resources
from nwbpipe.project import ExecutorSpec
from nwbpipe.project.execute import _dask_security
from nwbpipe.project.execute._dask import DaskExecutor
from nwbpipe.project.execute._dask_security import (
    create_certificate,
    find_cluster_address,
    find_route,
    keep_certificate,
)
from nwbpipe.project.execute._dask_worker import write_arguments
from nwbpipe.project.execute._jobqueue import import_jobqueue, render_job_scripts
from tests.fixtures.schedulers import StandIns

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def list_listening(before: set[tuple[str, int]] = frozenset()) -> set[tuple[str, int]]:  # type: ignore[assignment]
    """Return addresses on which this process and its children listen."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    connections = [
        connection for process in processes for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]  # fmt: skip
    return {(connection.laddr.ip, connection.laddr.port) for connection in connections} - before


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[DaskExecutor, set[tuple[str, int]]]]:
    """Workers on this machine, and the addresses on which they, their nannies and their scheduler listen."""
    before = list_listening()
    with closing(DaskExecutor(ExecutorSpec.model_validate({"kind": "dask", "workers": 1}))) as executor:
        executor._clients[""].wait_for_workers(1, timeout=60)
        yield executor, list_listening(before)


def test_all_ports_are_of_this_machine_alone(cluster: tuple[DaskExecutor, set[tuple[str, int]]]) -> None:
    _, ports = cluster
    assert len(ports) >= 3
    assert {address for address, _ in ports} == {"127.0.0.1"}


def test_nobody_else_on_this_machine_runs_code(cluster: tuple[DaskExecutor, set[tuple[str, int]]]) -> None:
    """Each port is tried: without encryption, and with another certificate."""
    executor, ports = cluster
    assert executor._clients[""].submit(os.getpid).result(timeout=30) != os.getpid()
    own = executor._clients[""].security
    asyncio.run(shake_hands("tls", *urlsplit(executor._clients[""].scheduler.address).netloc.split(":"), own))
    for address, port in ports:
        for scheme, security in (("tcp", distributed.Security()), ("tls", distributed.Security.temporary())):
            with pytest.raises((OSError, TimeoutError)):
                asyncio.run(shake_hands(scheme, address, port, security))


async def shake_hands(scheme: str, address: str, port: int | str, security: Any) -> None:
    """Do what any client, worker or scheduler of Dask does first at a port."""
    arguments = security.get_connection_args("client")
    comm = await asyncio.wait_for(distributed.comm.connect(f"{scheme}://{address}:{port}", 1, **arguments), 3)
    await comm.close()


def test_no_page_shows_anything(cluster: tuple[DaskExecutor, set[tuple[str, int]]]) -> None:
    executor, ports = cluster
    assert "dashboard" not in executor.about
    for address, port in ports:
        for page in ("", "status", "info/main/workers.html", "json/counts.json", "metrics", "sysmon"):
            with pytest.raises((urllib.error.URLError, OSError)) as caught:
                urllib.request.urlopen(f"http://{address}:{port}/{page}", timeout=2)
            assert getattr(caught.value, "code", 404) == 404


def test_no_worker_notes_what_only_a_page_would_show(cluster: tuple[DaskExecutor, set[tuple[str, int]]]) -> None:
    (client,) = cluster[0]._clients.values()
    assert set(client.run(is_profiling).values()) == {False}


def is_profiling(dask_worker: Any) -> bool:
    """Return True in a worker that samples its stack."""
    return "profile" in dask_worker.periodic_callbacks


def test_keys_are_private_and_go_with_the_cluster(tmp_path: Path) -> None:
    with keep_certificate(create_certificate(), tmp_path / "dask") as security:
        (folder,) = (tmp_path / "dask").iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
        assert security.require_encryption
        assert "PRIVATE KEY" in Path(security.tls_worker_key).read_text()
        assert "CERTIFICATE" in Path(security.tls_ca_file).read_text()
    assert list((tmp_path / "dask").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["--host", "127.0.0.1"]),
        (["--interface", "ib0"], []),
        (["--host=10.0.0.1"], []),
    ],
)
def test_a_worker_in_a_job_listens_on_the_way_to_its_scheduler_alone(options: list[str], words: list[str]) -> None:
    given = ["tls://127.0.0.1:8786", *options]
    added = ["--no-dashboard", "--dashboard-address=127.0.0.1:0"]
    assert write_arguments(given) == [*given, *added, *words]


def test_a_route_to_nowhere() -> None:
    assert find_route("127.0.0.1") == "127.0.0.1"
    assert find_route("") == ""
    assert find_route("no-such-host.invalid") == ""


@pytest.mark.parametrize(
    ("nodes", "address"), [("here there", "10.0.0.1"), ("here", "127.0.1.1"), ("nowhere", ""), ("", "")]
)
def test_the_address_that_slurm_s_nodes_reach(
    nodes: str, address: str, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.add("sinfo", f"printf '%s\\n' {nodes}" if nodes else "exit 1")
    routes = {"here": "127.0.1.1", "there": "10.0.0.1"}
    monkeypatch.setattr(_dask_security, "find_route", lambda node: routes.get(node, ""))
    assert find_cluster_address() == address


@pytest.mark.parametrize("name", ["security", "protocol", "shared_temp_directory"])
def test_encryption_can_t_be_switched_off(name: str) -> None:
    kinds = {"standard": {"options": {name: False}}}
    with pytest.raises(RequestError, match="always encrypted"):
        render_job_scripts(ExecutorSpec.model_validate({"kind": "slurm", "kinds": kinds}))


def test_a_script_is_shown_without_a_port_or_a_file(tmp_path: Path) -> None:
    before = list_listening()
    spec = ExecutorSpec.model_validate({"kind": "slurm"}).in_folder(tmp_path / "it's $(touch here)")
    text = render_job_scripts(spec)
    assert list_listening() == before
    assert list(tmp_path.iterdir()) == []
    assert f"--tls-key '{tmp_path}/it'\"'\"'s $(touch here)/dask/KEYS/key.pem'" in text
    assert "--protocol tls://" in text
    assert "-m nwbpipe.project.execute._dask_worker tls://SCHEDULER:PORT" in text


def test_without_cryptography_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def refuse(name: str) -> object:
        if name == "cryptography":
            raise ImportError("No module named 'cryptography'")
        return real(name)

    monkeypatch.setattr(_dask_security, "import_module", refuse)
    before = list_listening()
    with pytest.raises(ToolMissingError, match=r"cryptography[\s\S]*nwbpipe\[dask\]"):
        DaskExecutor(ExecutorSpec.model_validate({"kind": "dask"}))
    assert list_listening() == before


def test_the_import_of_dask_jobqueue_leaves_ctrl_c_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("dask_jobqueue")]:
        monkeypatch.delitem(sys.modules, name)

    def handle(_number: int, _frame: object) -> None: ...

    earlier = signal.signal(signal.SIGINT, handle)
    try:
        import_jobqueue()
        assert signal.getsignal(signal.SIGINT) is handle
    finally:
        signal.signal(signal.SIGINT, earlier)


def test_a_step_that_needs_more_than_the_jobs_have(tmp_path: Path) -> None:
    """Told from the settings alone: no job is submitted."""
    kinds = {"standard": {"cores": 2, "memory": "4GB", "walltime": "01:00:00"}}
    executor = object.__new__(DaskExecutor)
    executor._spec = ExecutorSpec.model_validate({"kind": "slurm", "kinds": kinds})
    executor._kinds, executor._clients = dict(executor._spec.kinds), {"standard": object()}  # type: ignore[arg-type]
    executor._walltimes = executor._read_walltimes()
    assert executor.explain_refusal(Resources(cpu=2, memory_gb=4, time_limit_s=3000)) == ""
    for needed, words in (
        (Resources(cpu=3), "cpu = 2, the step needs 3"),
        (Resources(memory_gb=64), "memory_gb = 4, the step needs 64"),
        (Resources(time_limit_s=3500), "walltime = 3600 s, the step needs 3500 s"),
    ):
        assert words in executor.explain_refusal(needed)
