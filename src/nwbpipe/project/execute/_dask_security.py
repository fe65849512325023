"""Close a Dask cluster to others: who reaches an open port of Dask can run code as the user who started it."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from nwbpipe.disk import mark_of, remove_folder
from nwbpipe.errors import FileAccessError, ToolMissingError
from nwbpipe.project.execute._ask_slurm import ask_slurm

PROTOCOL = "tls://"
# A web page of a scheduler or worker shows code and parameters, and knows no password. Without one nobody sees what
# Dask's profiler notes a hundred times a second.
NO_PAGES: dict[str, Any] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
}
LOOPBACK_PAGES = "127.0.0.1:0"
_MOST_NODES = 8
_ROLES = ("scheduler", "worker", "client")


def require(name: str, hint: str = 'python -m pip install "nwbpipe[dask]"') -> Any:
    """Import a module of an extra.

    Raises
    ------
    ToolMissingError
        The module is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        msg = f"the package {name.partition('.')[0]!r} can't be imported"
        raise ToolMissingError(msg, found=str(error), hint=hint) from error


def create_certificate() -> Any:
    """Create a key and a certificate for one cluster, in memory: nobody without it talks to its processes."""
    require("cryptography")
    return require("distributed").Security.temporary()


@contextmanager
def keep_certificate(security: Any, folder: Path) -> Iterator[Any]:
    """Write key and certificate into a private folder, for workers on other machines; remove it at the end.

    Parameters
    ----------
    security : distributed.Security
        With key and certificate in memory.
    folder : Path
        A folder that all nodes see.

    Yields
    ------
    distributed.Security
        With the paths of the files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        private = Path(tempfile.mkdtemp(prefix="tls-", dir=folder))  # 0700
        mark = mark_of(private)
    except OSError as error:
        msg = "the keys of the Dask workers can't be written"
        raise FileAccessError(msg, where=str(folder), found=str(error)) from error
    try:
        for name, text in (("cert.pem", security.tls_worker_cert), ("key.pem", security.tls_worker_key)):
            (private / name).touch(mode=0o600, exist_ok=False)
            (private / name).write_text(text, encoding="ascii")
        yield point_to_certificate(private)
    finally:
        remove_folder(private, mark)


def point_to_certificate(folder: Path) -> Any:
    """Return Dask's security settings for key and certificate in a folder."""
    paths = {"tls_ca_file": str(folder / "cert.pem")}
    for role in _ROLES:
        paths |= {f"tls_{role}_cert": str(folder / "cert.pem"), f"tls_{role}_key": str(folder / "key.pem")}
    return require("distributed").Security(require_encryption=True, **paths)


def find_route(host: str) -> str:
    """Return the address of this machine that leads to another one; "" if there is no way."""
    with suppress(OSError):
        for family, kind, protocol, _, address in socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM):
            with suppress(OSError), socket.socket(family, kind, protocol) as asking:
                asking.connect(address)  # nothing is sent
                return str(asking.getsockname()[0])
    return ""


def find_cluster_address() -> str:
    """Return the address of this machine that SLURM's nodes can reach; "" if it can't be told."""
    nodes = list(dict.fromkeys(ask_slurm("sinfo", "--noheader", "--format=%o").split()))[:_MOST_NODES]
    routes = [route for node in nodes if (route := find_route(node))]
    # The only node may be this machine; among several, this machine may be one.
    return next((route for route in routes if not route.startswith("127.")), next(iter(routes), ""))
