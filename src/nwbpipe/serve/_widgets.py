"""Show a session file in NWB Widgets: Voila in the tool's own environment, on this machine alone."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil

from nwbpipe.environments import NWBWIDGETS, EnvironmentKind, ToolEnvironment, find
from nwbpipe.errors import RequestError, ToolFailedError, ToolMissingError, show_text
from nwbpipe.machine import make_cache_folder, select_variables
from nwbpipe.serve._inspect import open_by_page
from nwbpipe.serve._server import listen
from nwbpipe.session import SessionFile
from nwbpipe.stores import is_remote

_GRACE = 10.0  # seconds that the server has for ending its kernels
_HERE = Path(__file__).parent
# What runs in the tool's Python, which has no nwbpipe: they are never imported here.
_SERVER, _KERNEL = _HERE / "_widgets_server.py", _HERE / "_widgets_kernel.py"
_WORKER = _HERE.parent / "environments" / "_worker.py"
_CELL = "import json, nwbpipe_view\nnwbpipe_view.show(json.load(open('request.json', encoding='utf-8')))"


def has_widgets() -> bool:
    """Return True if NWB Widgets is installed."""
    try:
        find(NWBWIDGETS)
    except ToolMissingError:
        return False
    return True


def inspect_with_widgets(
    location: Path | str,
    say: Callable[[str], None],
    show: Callable[[str], None],
    *,
    port: int = 0,
    browse: bool = True,
) -> None:
    """Show a session file in NWB Widgets until Ctrl-C; the file is only read.

    Parameters
    ----------
    location : path or URL
        The session file.
    say, show : callable
        Receive notes, and the address.
    port : int
        The port on 127.0.0.1; 0 for any free one.
    browse : bool
        True to open the address in the user's browser.

    Raises
    ------
    ToolMissingError
        If NWB Widgets is not installed.
    FileAccessError, UnsupportedFileError, DamagedFileError, LockedFileError
        See `SessionFile.open`.
    RequestError
        If the port is taken.
    ToolFailedError
        If the server does not start, or ends by itself.
    """
    if is_remote(location):
        msg = "NWB Widgets shows files of this machine alone"
        raise RequestError(msg, where=show_text(location), hint="download the file, or --with report")
    environment = _find_environment()
    session = SessionFile.at(location)
    with session.nwb():  # what is damaged, not NWB or being written is told before a server starts
        pass
    with (
        listen("127.0.0.1", port) as listener,
        tempfile.TemporaryDirectory(prefix="nwbpipe-widgets-", ignore_cleanup_errors=True) as name,
    ):
        folder = Path(name)
        token = secrets.token_urlsafe(32)
        with session.serve(folder) as served:
            _write_notebook(folder, session.name, {"path": str(Path(served.path).resolve()), "access": served.access})
            with _serve(environment, folder, listener, token) as server:
                address = f"http://127.0.0.1:{listener.getsockname()[1]}/?token={token}"
                listener.close()  # the server has its own
                show(address)
                say("NWB Widgets reads the file first: up to a minute; Ctrl-C ends it")
                page = open_by_page(address, f"widgets {location}") if browse else None
                try:
                    with _stop_at_signal():
                        server.wait()
                        raise _make_error(folder)
                finally:
                    if page is not None:
                        page.unlink(missing_ok=True)


@contextmanager
def _stop_at_signal() -> Iterator[None]:
    """Leave the block at Ctrl-C; SIGTERM does the same, so that the server's folder is removed."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGTERM, stop) if threading.current_thread() is threading.main_thread() else None
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)


def _find_environment() -> ToolEnvironment:
    if os.name == "nt":
        msg = "NWB Widgets is not shown on Windows: it gets an open socket, which Windows does not pass on"
        raise RequestError(msg, hint="--with report, or --with neurosift")
    environment = find(NWBWIDGETS)
    if environment.kind is EnvironmentKind.CONTAINER:
        msg = "NWB Widgets can't be shown out of a container, which has no network"
        raise RequestError(msg, hint="nwbpipe tools install nwbwidgets (without --kind)")
    return environment


def _write_notebook(folder: Path, name: str, request: dict[str, Any]) -> None:
    """Write the notebook and what it imports; the name of the file is text in it, never a program."""
    shutil.copyfile(_KERNEL, folder / "nwbpipe_view.py")
    shutil.copyfile(_WORKER, folder / "nwbpipe_worker.py")
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "show",
        "metadata": {},
        "outputs": [],
        "source": _CELL,
    }
    notebook = {
        "cells": [cell],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "title": show_text(name),
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / "session.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


@contextmanager
def _serve(
    environment: ToolEnvironment, folder: Path, listener: socket.socket, token: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server, and yield its process once it answers; it and its kernels end with the block."""
    descriptor = listener.fileno()
    request = {"notebook": str(folder / "session.ipynb"), "socket": descriptor, "token": token}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [str(environment.python), "-I", str(_SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=_build_variables(environment, folder),
            pass_fds=[descriptor],
            start_new_session=True,  # Ctrl-C is ours
        )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):  # one that has ended already is told below
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        if not _is_ready(process.stdout):
            process.wait(_GRACE)
            raise _make_error(folder)
        yield process
    finally:
        _end(process)


def _is_ready(output: IO[bytes]) -> bool:
    return any(line.strip() == b"ready" for line in iter(output.readline, b""))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and the kernels that it started."""
    children: list[psutil.Process] = []
    with suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    process.kill()
    process.wait()
    for child in children:
        with suppress(psutil.Error):
            child.kill()
    psutil.wait_procs(children, _GRACE)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _build_variables(environment: ToolEnvironment, folder: Path) -> dict[str, str]:
    """Return the variables of the server: no credentials, nothing of the user's own Jupyter, a kept font cache."""
    variables = {
        name: value for name, value in select_variables().items() if not name.startswith(("PYTHON", "JUPYTER"))
    }
    with suppress(OSError):
        (make_cache_folder() / "matplotlib").mkdir(parents=True, exist_ok=True)
    folders = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    return variables | folders | {
        "IPYTHONDIR": str(folder / "ipython"),
        "MPLCONFIGDIR": str(make_cache_folder() / "matplotlib"),
        "PATH": os.pathsep.join([str(environment.python.parent), variables.get("PATH", os.defpath)]),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "",
    }  # fmt: skip


def _make_error(folder: Path) -> ToolFailedError:
    text = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
    tail = "\n".join(show_text(line) for line in text.splitlines()[-12:])
    msg = "the server of NWB Widgets has ended by itself"
    return ToolFailedError(
        msg, found=tail or None, hint="`nwbpipe tools doctor nwbwidgets`, or `nwbpipe inspect --with report FILE`"
    )
