"""Serve the application: the socket, the address that is printed, and the end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import uvicorn

from nwbpipe.errors import RequestError, show_text
from nwbpipe.serve._app import create_app
from nwbpipe.serve._security import Keys, is_loopback
from nwbpipe.serve._view import ProjectView

DEFAULT_PORT = 8650


def serve(
    project: Path | str | None = None,
    *,
    profile: str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    read_only: bool = False,
    root_path: str = "",
    allowed_hosts: Collection[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Serve the dashboard of a project, until it is stopped.

    Parameters
    ----------
    project : path, optional
        Its ``nwbpipe.toml``, or its folder; the nearest one upwards by default.
    profile : str, optional
        The profile that gives the stores.
    host : str
        The address to listen at; by default that of this machine alone.
    port : int, optional
        The port; 0 for any free one. By default 8650, or any free one if that is taken.
    read_only : bool
        True to show alone: nothing can be run, stopped or changed.
    root_path : str
        The prefix under which a reverse proxy offers it: ``/lab/nwb``.
    allowed_hosts : collection of str
        Names, beside those of this machine, under which browsers ask for it.
    say : callable
        Receives the address.

    Raises
    ------
    RequestError
        If there is no project, the port is taken, or the address is not of this machine.
    """
    prefix = _clean_prefix(root_path)
    view, keys = ProjectView(project, profile=profile), Keys()
    listener = listen(host, port)
    number = listener.getsockname()[1]
    app = create_app(view, keys, cookie=f"nwbpipe-{number}", hosts=allowed_hosts, read_only=read_only)
    host_in_url = f"[{host}]" if ":" in host else host
    say(f"http://{host_in_url}:{number}{prefix}/?token={keys.token}")
    if not is_loopback(host):
        say(
            "note: other machines reach this address, and what it sends is not encrypted: rather leave --host out, "
            "and use an ssh tunnel or a reverse proxy with TLS"
        )
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, root_path=prefix, server_header=False, lifespan="on",
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    try:
        with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        view.close()


def _clean_prefix(text: str) -> str:
    prefix = "/" + text.strip("/") if text.strip("/") else ""
    if "//" in prefix or not prefix.isascii() or any(not (c.isalnum() or c in "/-_.~") for c in prefix):
        msg = "the root path is not a path of a URL"
        raise RequestError(msg, expected="/lab/nwb", found=show_text(text))
    return prefix


def listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens; the default port may be taken, a port that was asked for may not."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        msg = "the host is not an address of this machine"
        raise RequestError(msg, where=host, found=str(error), hint="leave --host out") from error
    ports = [DEFAULT_PORT, 0] if port is None else [port]
    for number in ports:
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address[0], number, *address[2:]))
            listener.listen(64)
        except OSError as error:
            listener.close()
            if number == ports[-1]:
                msg = "the address can't be used"
                hint = "give another port with --port, or leave it out"
                raise RequestError(msg, where=f"{host}:{number}", found=str(error.strerror), hint=hint) from error
            continue
        return listener
    raise AssertionError
