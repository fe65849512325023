"""The page on which the series of a session are looked at by ranges of time."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from nwbpipe.project import Session
from nwbpipe.serve._aside import AsideReader
from nwbpipe.serve._pages import Pages, find_session, make_query, read_count
from nwbpipe.serve._series import CHANNELS
from nwbpipe.serve._view import ProjectView


class TracePages:
    """Draw a part of a series; the page asks for another part when a person moves in it."""

    def __init__(self, view: ProjectView, pages: Pages, reader: AsideReader) -> None:
        self.view, self.pages, self.reader = view, pages, reader

    def show(self, request: Request) -> Response:
        """Show the page."""
        session = find_session(self.view, request)
        listed = self.reader.call("list_series", str(session.file))
        path = request.query_params.get("path", "") or (listed[0]["path"] if listed else "")
        values = self._draw(session, request, path) if path else {}
        return self.pages.draw(
            request, "traces.html", title=session.key, subject=session.subject_id, session=session.session_id,
            listed=listed, path=path, trace=values,
        )  # fmt: skip

    def show_part(self, request: Request) -> Response:
        """Show the plot alone."""
        session = find_session(self.view, request)
        values = self._draw(session, request, request.query_params.get("path", ""))
        return self.pages.draw(
            request, "trace.html", subject=session.subject_id, session=session.session_id, trace=values
        )

    def _draw(self, session: Session, request: Request, path: str) -> dict[str, Any]:
        query = request.query_params
        window = (_read_number(query.get("from")), _read_number(query.get("to")))
        first = read_count(query.get("first", ""))
        part = self.reader.call("draw_series", str(session.file), path, *window, first)
        svg = Markup(part.pop("svg"))  # noqa: S704 - drawn by ours, with its texts escaped
        return {**part, "svg": svg, "path": path, "links": _make_links(path, part)}


def _read_number(text: str | None) -> float | None:
    try:
        return float(text) if text and len(text) < 30 else None
    except ValueError:
        return None


def _make_links(path: str, part: dict[str, Any]) -> dict[str, Any]:
    """Return the queries of the parts beside, within and around the one that is shown."""
    start, stop, (low, high) = part["start"], part["stop"], part["whole"]
    span = stop - start
    parts = {
        "earlier": (max(low, start - span / 2), max(low, start - span / 2) + span),
        "later": (min(high, stop + span / 2) - span, min(high, stop + span / 2)),
        "zoom in": (start + span / 4, stop - span / 4),
        "zoom out": (max(low, start - span / 2), min(high, stop + span / 2)),
        "whole": (None, None),
    }
    links = {
        name: make_query(path=path, **{"from": _write(a), "to": _write(b)}, first=part["first"])
        for name, (a, b) in parts.items()
    }
    window = {"from": _write(start), "to": _write(stop)}
    if part["first"] + CHANNELS < part["channels"]:
        links["next channels"] = make_query(path=path, **window, first=part["first"] + CHANNELS)
    if part["first"]:
        links["channels before"] = make_query(path=path, **window, first=max(0, part["first"] - CHANNELS))
    return links


def _write(value: float | None) -> str:
    return "" if value is None else repr(value)
