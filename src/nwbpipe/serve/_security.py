"""Check the Host header, the token and the cookie of each request, and set the headers of each answer."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Collection
from urllib.parse import parse_qsl, quote, urlencode

from markupsafe import escape
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Styles of SVG elements are attributes; scripts come from our own file alone.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Keys:
    """The secrets of one dashboard: they are made when it starts, and end with it.

    Attributes
    ----------
    token : str
        What the address that is printed holds.
    cookie : str
        What a browser that came with the token keeps.
    place : str
        Start of the path of all pages. Browsers send the cookie below it alone: what other users of this machine
        serve at other ports, which browsers take for the same site, is not below it.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self.cookie = secrets.token_urlsafe(24)
        self.place = f"/at-{secrets.token_urlsafe(12)}"

    @property
    def csrf(self) -> str:
        """The text that each form holds, so that no other site can send one."""
        return hmac.new(self.cookie.encode(), b"form", hashlib.sha256).hexdigest()

    @staticmethod
    def match(given: str, expected: str) -> bool:
        """Compare two secrets in constant time."""
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def is_loopback(host: str) -> bool:
    """Return True if only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def list_host_names(more: Collection[str]) -> set[str]:
    """Return the names under which the dashboard may be asked for."""
    return {"localhost", socket.gethostname().lower(), socket.getfqdn().lower(), *(name.lower() for name in more)}


def is_allowed_host(header: str, names: Collection[str]) -> bool:
    """Return True for our own names, and for numeric addresses, which no foreign DNS server can turn to us."""
    name = header.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """Let in only who has the token, and only under a known name.

    Parameters
    ----------
    app : ASGI application
    keys : Keys
    hosts : collection of str
        Names that the Host header may hold.
    cookie : str
        Name of the cookie: it holds the port, since browsers keep one set of cookies for all ports of a machine.
    read_only : bool
        True if nothing may be changed.
    """

    def __init__(self, app: ASGIApp, keys: Keys, hosts: Collection[str], cookie: str, *, read_only: bool) -> None:
        self.app, self.keys, self.hosts, self.cookie, self.read_only = app, keys, hosts, cookie, read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks websocket
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added_headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                app_headers = [
                    (name, value) for name, value in message["headers"] if name.decode().lower() not in _HEADERS
                ]
                message = {**message, "headers": [*app_headers, *added_headers]}
            await send(message)

        answer = self._refuse(scope)
        below = {**scope, "root_path": scope.get("root_path", "") + self.keys.place}
        await (answer or self.app)(below, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        """Return the answer to a request that does not reach the application."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not is_allowed_host(headers.get("host", ""), self.hosts):
            return _answer(400, "Unknown host", "This dashboard does not answer under this name; see --allow-host.")
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        token = next((value for name, value in query if name == "token"), None)
        if token is not None and scope["method"] == "GET":
            if not self.keys.match(token, self.keys.token):
                return _answer(403, "Wrong token", "Use the address that `nwbpipe serve` printed last.")
            return self._let_in(scope, [(name, value) for name, value in query if name != "token"])
        if not (self._find_place(scope)[1] and self._has_cookie(headers.get("cookie", ""))):
            return _answer(403, "A token is needed", "Open the address that `nwbpipe serve` printed.")
        if scope["method"] not in ("GET", "HEAD"):
            if self.read_only:
                return _answer(403, "Read only", "This dashboard was started with --read-only.")
            if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return _answer(403, "Refused", "The form came from another site.")
        return None

    def _find_place(self, scope: Scope) -> tuple[str, bool]:
        """Return the path of a page, and whether it was asked for below our place."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        is_below = path == self.keys.place or path.startswith(f"{self.keys.place}/")
        return path.removeprefix(self.keys.place) if is_below else path, is_below

    def _has_cookie(self, header: str) -> bool:
        """Look for our cookie among those of all that serves at this machine: browsers tell no ports apart.

        Others may have texts that no standard allows, or our name, for another path.
        """
        pairs = (part.strip().partition("=") for part in header.split(";"))
        values = [value.strip() for name, _, value in pairs if name.strip() == self.cookie]
        return any(self.keys.match(value, self.keys.cookie) for value in values)

    def _let_in(self, scope: Scope, query: list[tuple[str, str]]) -> Response:
        """Give the cookie, and lead on to the address without the token.

        Our own page does so, not a redirection: browsers send no SameSite=Strict cookie along a redirection that
        began at another site, such as a chat in which the address was sent.
        """
        base = scope.get("root_path", "") + self.keys.place
        path = "/" + self._find_place(scope)[0].lstrip("/")
        target = escape(quote(base + path) + (f"?{urlencode(query)}" if query else ""))
        text = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>nwbpipe</title>'
            '<link rel="icon" href="data:,">'
            f'<meta http-equiv="refresh" content="0; url={target}"><p><a href="{target}">Go on</a></p></html>'
        )
        answer = HTMLResponse(text)
        answer.set_cookie(
            self.cookie, self.keys.cookie, httponly=True, samesite="strict", path=base,
            secure=scope["scheme"] == "https",
        )  # fmt: skip
        return answer


def _answer(status: int, title: str, text: str) -> Response:
    head = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><link rel="icon" href="data:,">'
    )
    return HTMLResponse(f"{head}<h1>{title}</h1><p>{text}</p></html>", status)
