"""The application: which address shows what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nwbpipe.errors import NwbpipeError, RequestError
from nwbpipe.serve._aside import AsideReader
from nwbpipe.serve._edit_pages import EditPages
from nwbpipe.serve._label_pages import LabelPages
from nwbpipe.serve._overview import Overview
from nwbpipe.serve._pages import Pages
from nwbpipe.serve._processes import RunProcesses
from nwbpipe.serve._run_pages import RunPages
from nwbpipe.serve._security import Guard, Keys, list_host_names
from nwbpipe.serve._session_pages import SessionPages
from nwbpipe.serve._subject_pages import SubjectPages
from nwbpipe.serve._trace_pages import TracePages
from nwbpipe.serve._video_pages import VideoPages
from nwbpipe.serve._view import ProjectView

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_MOST_BYTES = 2**20  # of a form
_MOST_FIELDS = 5000
_STATIC = {
    "style.css": ("nwbpipe.serve", "static/style.css", "text/css"),
    "report.css": ("nwbpipe.report", "templates/parts.css", "text/css"),
    "live.js": ("nwbpipe.serve", "static/live.js", "text/javascript"),
    "trace.js": ("nwbpipe.serve", "static/trace.js", "text/javascript"),
    "video.js": ("nwbpipe.serve", "static/video.js", "text/javascript"),
}

Form = dict[str, str]


def create_app(
    view: ProjectView, keys: Keys, *, cookie: str = "nwbpipe", hosts: Collection[str] = (), read_only: bool = False
) -> Guard:
    """Return the application of a project, behind its guard.

    Parameters
    ----------
    view : ProjectView
        The project.
    keys : Keys
        The secrets that a browser has to know.
    cookie : str
        Name of the cookie.
    hosts : collection of str
        Further names under which the dashboard may be asked for.
    read_only : bool
        True to show alone: nothing can be run, stopped or changed.
    """
    pages = Pages(keys.csrf, read_only=read_only)
    processes = RunProcesses()
    overview = Overview(view, pages, processes)
    sessions = SessionPages(view, pages)
    edits = EditPages(view, pages)
    labels = LabelPages(view, pages)
    subjects = SubjectPages(view, pages)
    reader = AsideReader()
    traces = TracePages(view, pages, reader)
    videos = VideoPages(view, pages, reader)
    runs = RunPages(view, pages, processes)
    routes = [
        Route("/", overview.show),
        Route("/part/table", overview.show_table),
        Route("/part/running", overview.show_running),
        Route("/session/{subject}/{session}", sessions.show),
        Route("/session/{subject}/{session}/part/steps", sessions.show_steps),
        Route("/session/{subject}/{session}/part/report", sessions.show_report),
        Route("/session/{subject}/{session}/log/{run_id}", sessions.show_log),
        Route("/session/{subject}/{session}/edit", edits.show),
        Route("/session/{subject}/{session}/edit", _accept_form(edits.accept, keys), methods=["POST"]),
        Route("/session/{subject}/{session}/labels/{step}", labels.show),
        Route("/session/{subject}/{session}/labels/{step}", _accept_form(labels.accept, keys), methods=["POST"]),
        Route("/session/{subject}/{session}/traces", traces.show),
        Route("/session/{subject}/{session}/part/trace", traces.show_part),
        Route("/session/{subject}/{session}/videos", videos.show),
        Route("/session/{subject}/{session}/media", videos.send_media),
        Route("/session/{subject}/{session}/part/keypoints", videos.tell_keypoints),
        Route("/session/{subject}/{session}/part/frame", videos.tell_frame),
        Route("/subjects", subjects.show),
        Route("/subjects", _accept_form(subjects.accept, keys), methods=["POST"]),
        Route("/run", _accept_form(runs.run, keys), methods=["POST"]),
        Route("/stop", _accept_form(runs.stop, keys), methods=["POST"]),
        Route("/static/{name}", _show_static),
    ]

    @asynccontextmanager
    async def hold(_app: Starlette) -> AsyncIterator[None]:
        view.start()
        yield
        view.stop()
        processes.close()
        reader.close()

    def explain(request: Request, error: Exception) -> Response:
        assert isinstance(error, NwbpipeError)
        return pages.draw_error(request, error, 400 if isinstance(error, RequestError) else 500)

    def explain_missing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        missing = RequestError("there is no such page", hint="go back to the sessions")
        return pages.draw_error(request, missing, error.status_code)

    app = Starlette(
        routes=routes,
        lifespan=hold,
        exception_handlers={NwbpipeError: explain, 404: explain_missing, 405: explain_missing},
    )
    return Guard(app, keys, list_host_names(hosts), cookie, read_only=read_only)


def _accept_form(handle: Callable[[Request, Form], Response], keys: Keys) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that reads a form, and refuses one that is not of our own pages."""

    async def accept(request: Request) -> Response:
        data = b""
        async for chunk in request.stream():
            data += chunk
            if len(data) > _MOST_BYTES:
                raise RequestError("the form is too large", expected=f"at most {_MOST_BYTES} bytes")
        try:
            pairs = parse_qsl(
                data.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(data), max_num_fields=_MOST_FIELDS
            )
        except ValueError as error:
            raise RequestError("the form can't be read", found=str(error)) from error
        form = dict(pairs)
        if not keys.match(form.pop("csrf", ""), keys.csrf):
            raise RequestError("the form is not of this dashboard", hint="load the page again, then send the form")
        return await run_in_threadpool(handle, request, form)

    return accept


def _show_static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404)
    package, path, media_type = _STATIC[name]
    return Response((resources.files(package) / path).read_bytes(), media_type=media_type)
