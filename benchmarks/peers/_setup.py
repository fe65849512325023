"""Set up the other tools: Snakemake and DataJoint from PyPI, MariaDB from Debian, a server of our own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks._report import note

_PACKAGES = ("snakemake", "datajoint>=2")
_SAME = ("pynwb", "hdmf", "h5py", "numpy")  # as in our own environment: the work is done by the same code
_TABLES = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
_SHARE = Path("/usr/share/mysql")


@dataclass(frozen=True)
class Peers:
    """The Python of the other tools, and the server of the database."""

    python: Path
    server: int | None
    port: int

    def variables(self) -> dict[str, str]:
        """Return the environment of their commands."""
        place = {"DJ_HOST": "127.0.0.1", "DJ_USER": "root", "DJ_PASS": "", "DJ_PORT": str(self.port)}
        quiet = {"DJ_USE_TLS": "false", "DJ_LOG_LEVEL": "WARNING", "PYTHONWARNINGS": "ignore"}
        path = {"PATH": os.pathsep.join((str(self.python.parent), os.environ["PATH"]))}
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, **place, **quiet, **path}

    def describe(self) -> Iterator[str]:
        """Say which versions were compared."""
        code = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in ('snakemake', 'datajoint')))"
        done = subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True)
        server = subprocess.run(
            ["/usr/sbin/mariadbd", "--version"], capture_output=True, text=True, check=False
        ).stdout
        yield f"{done.stdout.strip()}; {server.split(',')[0].strip() or 'no MariaDB'}"


@contextmanager
def prepare_peers(folder: Path) -> Iterator[Peers]:
    """Install what is missing, and start a database on 127.0.0.1 for as long as the block runs."""
    python = _install_packages(Path(os.environ.get("NWBPIPE_PEERS") or folder / "peers-environment"))
    if not _has_mariadb():
        note("MariaDB is missing (Debian: apt-get install mariadb-server-core): DataJoint is not compared\n")
        yield Peers(python, None, 0)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "database"
    data.mkdir()
    words = ["/usr/sbin/mariadbd", "--no-defaults", "--basedir=/usr", f"--datadir={data}"]
    if os.geteuid() == 0:
        words.append("--user=root")
    start = "create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\n"
    tables = start + "".join((_SHARE / name).read_text() for name in _TABLES)
    subprocess.run([*words, "--bootstrap"], input=tables, text=True, check=True, capture_output=True)
    place = [f"--socket={data}/s", f"--port={port}", "--bind-address=127.0.0.1"]
    with (folder / "database.log").open("wb") as log:
        server = subprocess.Popen([*words, *place], stdout=log, stderr=log)
    try:
        _wait_for_port(port)
        yield Peers(python, server.pid, port)
    finally:
        server.terminate()
        server.wait()


def _install_packages(environment: Path) -> Path:
    python = environment / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    same = [f"{name}=={version(name)}" for name in _SAME]
    words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PACKAGES, *same]
    variables = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    subprocess.run(words, check=True, env=variables)
    return python


def _has_mariadb() -> bool:
    if Path("/usr/sbin/mariadbd").exists():
        return True
    if shutil.which("apt-get") and os.geteuid() == 0:
        words = ["apt-get", "--quiet", "install", "--yes", "--no-install-recommends", "mariadb-server-core"]
        subprocess.run(words, check=False, capture_output=True)
    return Path("/usr/sbin/mariadbd").exists()


def _wait_for_port(port: int) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return
