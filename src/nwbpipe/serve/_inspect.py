"""Open one session file in a viewer: its report, or neurosift in the browser."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import uvicorn
from markupsafe import escape
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from nwbpipe.disk import create_file, open_regular
from nwbpipe.errors import FileAccessError, RequestError, show_text
from nwbpipe.machine import make_cache_folder
from nwbpipe.provenance import digest
from nwbpipe.report import write_report
from nwbpipe.stores import is_remote

NEUROSIFT = "https://neurosift.app"
_HEADERS = [
    (b"access-control-allow-origin", NEUROSIFT.encode()),
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"Range"),
    (b"access-control-allow-private-network", b"true"),
    (b"access-control-expose-headers", b"Accept-Ranges, Content-Length, Content-Range, ETag"),
    (b"vary", b"Origin"),
    (b"cache-control", b"no-store"),
]


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


_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>neurosift</title>'
    '<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0; url={link}">'
    '<p><a href="{link}">Go on to neurosift</a></p></html>\n'
)


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
            with open_regular(path) as file:
                self._status = os.fstat(file.fileno())
        except OSError as error:
            raise FileAccessError("the file can't be read", where=str(path), found=str(error.strerror)) from error
        self.path = path
        self._route = f"/{secrets.token_urlsafe(24)}/{quote(path.name, errors='replace')}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}{self._route}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request: the file for its own address, and what a browser asks before."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "").partition(":")[0]
        answer: Response
        if not secrets.compare_digest(quote(scope["path"]), self._route) or host not in ("127.0.0.1", "localhost"):
            answer = Response(status_code=404)
        elif scope["method"] == "OPTIONS":
            answer = Response(status_code=204)
        elif scope["method"] not in ("GET", "HEAD"):
            answer = Response(status_code=405)
        elif not self._is_unchanged():
            answer = PlainTextResponse("The file has changed since: end `nwbpipe inspect`, and start it again.", 410)
        else:
            answer = FileResponse(self.path, media_type="application/x-hdf5", stat_result=self._status)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        await answer(scope, receive, send_with_headers)

    def _is_unchanged(self) -> bool:
        """Return True if the file is that of the start: a viewer puts together what it reads at different times."""
        try:
            return _identify(self.path.stat()) == _identify(self._status)
        except OSError:
            return False

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


def _identify(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def inspect_with_neurosift(
    location: Path | str, say: Callable[[str], None], show: Callable[[str], None], *, browse: bool = True
) -> None:
    """Show a file in neurosift: a link for one with an address, or served from here until Ctrl-C.

    Parameters
    ----------
    location : path or URL
    say, show : callable
        Receive notes, and the link.
    browse : bool
        True to open the link in the user's browser.
    """
    say("note: neurosift.app is not ours: it learns the address of the file, and loads programs from other sites")
    if is_remote(location):
        link = make_neurosift_link(str(location))
        show(link)
        if browse:
            open_by_page(link, str(location))
        return
    server = FileServer(Path(location))
    link = make_neurosift_link(server.address)
    show(link)
    page = open_by_page(link, os.path.realpath(location)) if browse else None
    say("the file is served to this machine's browser alone, until Ctrl-C")
    try:
        server.run()
    finally:
        if page is not None:
            page.unlink(missing_ok=True)


def open_by_page(link: str, place: str) -> Path | None:
    """Open a link that holds a secret by a private page that leads there, and return the page.

    All users of a machine see what a program, such as a browser, is started with.
    """
    page = make_cache_folder() / "links" / f"{digest(place)[:40]}.html"
    part = page.with_name(f".{page.name}.{secrets.token_hex(6)}.part")
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(create_file(part), "w", encoding="utf-8") as file:
            file.write(_PAGE.format(link=escape(link)))
        part.replace(page)
    except OSError:  # the link is printed, too
        part.unlink(missing_ok=True)
        return None
    open_address(page.as_uri())
    return page
