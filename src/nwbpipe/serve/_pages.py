"""Draw the pages: templates, and the texts that stand in them."""

from __future__ import annotations

import time
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from nwbpipe import __version__
from nwbpipe.errors import NwbpipeError
from nwbpipe.project import Session
from nwbpipe.project.plan import STATE_MARKS
from nwbpipe.report import load_environment
from nwbpipe.serve._view import ProjectView, Row

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _load_environment() -> Environment:
    environment = load_environment("nwbpipe.serve")
    environment.filters |= {
        "exact": keep_exact, "segment": quote_segment, "since": describe_since, "duration": describe_duration,
        "shown_time": show_time,
    }  # fmt: skip
    environment.globals |= {"marks": STATE_MARKS, "version": __version__}
    return environment


def keep_exact(value: Any) -> Markup:
    """Return the text of an input as it is: what a form sends back must be what it was given."""
    return escape(str(value))


def quote_segment(text: str) -> Markup:
    """Return a text as one segment of a path."""
    return Markup(quote(text, safe=""))  # noqa: S704 - percent signs alone


def quote_path(text: str) -> Markup:
    """Return a text as a path."""
    return Markup(quote(text))  # noqa: S704 - percent signs and slashes alone


def describe_since(moment: float) -> str:
    """Say how long ago a moment was."""
    return describe_duration(time.time() - moment)


def describe_duration(seconds: float) -> str:
    """Return a duration in words of a table: ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    total = max(0, round(seconds))
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600} h {total % 3600 // 60} min"


def show_time(text: str) -> str:
    """Return a time of ISO 8601 to the minute."""
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"
    except ValueError:
        return text


class Pages:
    """Draw pages with what all of them show.

    Parameters
    ----------
    csrf : str
        The text that each form holds.
    read_only : bool
    """

    def __init__(self, csrf: str, *, read_only: bool) -> None:
        self.csrf, self.read_only = csrf, read_only

    def draw(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page."""
        base = request.scope.get("root_path", "")
        text = (
            _load_environment()
            .get_template(template)
            .render(base=quote_path(base), csrf=self.csrf, read_only=self.read_only, **values)
        )
        return HTMLResponse(text, status)

    def draw_fragment(self, request: Request, template: str, version: str, **values: Any) -> Response:
        """Return a part of a page; nothing if the browser has that version already."""
        if version and request.query_params.get("version") == version:
            return Response(status_code=204)
        answer = self.draw(request, template, version=version, **values)
        answer.headers["x-version"] = version
        return answer

    def draw_error(self, request: Request, error: NwbpipeError, status: int = 400) -> Response:
        """Return the page of an error."""
        problems = error.problems or [error.problem]
        return self.draw(request, "error.html", status, title=error.problem.what, code=error.code, problems=problems)


def make_query(**values: Any) -> Markup:
    """Return the query of an address, without empty values."""
    return escape(urlencode({name: value for name, value in values.items() if value not in ("", None, 0)}))


def make_session_path(key: str) -> str:
    """Return the path of a session's page."""
    return "/session/" + "/".join(quote(part, safe="") for part in key.split("/", 1))


def find_row(view: ProjectView, request: Request) -> Row:
    """Return the row of the session that an address names."""
    row = view.ask(wait=True).by_key.get(f"{request.path_params['subject']}/{request.path_params['session']}")
    if row is None:
        raise HTTPException(404)
    return row


def find_session(view: ProjectView, request: Request) -> Session:
    """Return the session that an address names."""
    session = find_row(view, request).session
    if session is None:
        raise HTTPException(404)
    return session


def read_count(text: str, default: int = 0) -> int:
    """Return a whole number of an address; the default if it is none, or beyond all that is counted."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else default
