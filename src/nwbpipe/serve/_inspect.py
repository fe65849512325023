"""Open one session file in a viewer: its report, or neurosift in the browser."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import uvicorn
from starlette.responses import FileResponse, Response

from nwbpipe.disk import open_regular
from nwbpipe.errors import FileAccessError, RequestError, show_text
from nwbpipe.machine import make_cache_folder
from nwbpipe.provenance import digest
from nwbpipe.report import write_report
from nwbpipe.stores import is_remote

NEUROSIFT = "https://neurosift.app"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def open_address(address: str) -> bool:
    """Open an address in the user's browser; return False where no screen is, or no browser."""
    has_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return has_screen and webbrowser.open(address)


def make_report(location: Path | str) -> Path:
    """Draw the report of a session file as a page in the user's cache; each file has one page there.

    Raises
    ------
    FileAccessError, UnsupportedFileError, DamagedFileError, LockedFileError
        See `nwbpipe.report.write_report`.
    """
    place = str(location) if is_remote(location) else os.path.realpath(location)
    return write_report(location, make_cache_folder() / "reports" / f"{digest(place)[:40]}.html")


def make_neurosift_link(url: str) -> str:
    """Return the address at which neurosift shows a file that browsers reach.

    Raises
    ------
    RequestError
        If it is no address that a browser can open.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        msg = "neurosift reads files by HTTP alone"
        raise RequestError(
            msg, where=show_text(url), expected="https://…, or a file on this machine",
            hint="give the file's https address, or download it",
        )  # fmt: skip
    return f"{NEUROSIFT}/nwb?url={quote(url, safe='')}"


class FileServer:
    """Serve one file by ranges to neurosift's page in a browser of this machine.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    address : str
        Address of the file, with a part that can't be guessed.
    """

    def __init__(self, path: Path) -> None:
        try:
            open_regular(path).close()
        except OSError as error:
            raise FileAccessError("the file can't be read", where=str(path), found=str(error.strerror)) from error
        self.path = path
        self._route = f"/{secrets.token_urlsafe(24)}/{quote(path.name)}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}{self._route}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request: the file for its own address, and what a browser asks before."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "").partition(":")[0]
        answer: Response
        if quote(scope["path"]) != self._route or host not in ("127.0.0.1", "localhost"):
            answer = Response(status_code=404)
        elif scope["method"] == "OPTIONS":
            answer = Response(status_code=204)
        elif scope["method"] in ("GET", "HEAD"):
            answer = FileResponse(self.path, media_type="application/x-hdf5")
        else:
            answer = Response(status_code=405)
        answer.headers.update(
            {
                "access-control-allow-origin": NEUROSIFT,
                "access-control-allow-methods": "GET, HEAD, OPTIONS",
                "access-control-allow-headers": "Range",
                "access-control-allow-private-network": "true",
                "access-control-expose-headers": "Accept-Ranges, Content-Length, Content-Range, ETag",
                "vary": "Origin",
                "cache-control": "no-store",
            }
        )
        await answer(scope, receive, send)

    def run(self) -> None:
        """Serve until Ctrl-C."""
        config = uvicorn.Config(
            self, log_level="warning", access_log=False, server_header=False, lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[self._listener])

    def close(self) -> None:
        """Close the socket, if it was never served."""
        self._listener.close()


def inspect_with_neurosift(location: Path | str, say: Callable[[str], None], show: Callable[[str], None]) -> None:
    """Show a file in neurosift: a link for one with an address, or served from here until Ctrl-C.

    Parameters
    ----------
    location : path or URL
    say, show : callable
        Receive notes, and the link.
    """
    say("note: neurosift.app is not ours: it learns the address of the file, and loads programs from other sites")
    if is_remote(location):
        show(make_neurosift_link(str(location)))
        return
    server = FileServer(Path(location))
    show(make_neurosift_link(server.address))
    say("the file is served to this machine's browser alone, until Ctrl-C")
    server.run()
