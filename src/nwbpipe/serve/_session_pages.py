"""The page of one session: its steps, its runs with their logs, and its report."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from nwbpipe.errors import NwbpipeError
from nwbpipe.project import Session
from nwbpipe.project.state import RunObject
from nwbpipe.provenance import canonical_json, digest
from nwbpipe.review import list_label_steps
from nwbpipe.serve._draw import Drawer
from nwbpipe.serve._pages import Pages, find_row
from nwbpipe.serve._view import ProjectView, Row
from nwbpipe.session import SessionFile
from nwbpipe.stores import is_remote

_MOST_RUNS = 60
_MOST_LOG = 2_000_000  # bytes of a log that are shown: its end
_OUTCOMES = ("done", "failed", "interrupted")


class SessionPages:
    """The pages of single sessions."""

    def __init__(self, view: ProjectView, pages: Pages) -> None:
        self.view, self.pages = view, pages
        self.drawer = Drawer()

    def show(self, request: Request) -> Response:
        """Show the page; its report is asked for by the page itself, as drawing takes seconds."""
        row = find_row(self.view, request)
        session = row.session
        has_file = session is not None and bool(self.drawer.find_state(session))
        steps = self._make_steps(row)
        version = steps.pop("version")
        return self.pages.draw(
            request, "session.html", title=row.key, saved=request.query_params.get("saved", ""), has_file=has_file,
            fields=dict(session.fields) if session is not None else {}, version_of_steps=version,
            spec=self.view.show_place(session.spec or "") if session is not None else "",
            file=self.view.show_place(session.file) if session is not None else "",
            can_edit=bool(session and session.spec and not is_remote(session.spec)),
            label_steps=self._list_label_steps(session) if has_file and session is not None else {}, **steps,
        )  # fmt: skip

    def show_steps(self, request: Request) -> Response:
        """Show the states of the steps alone."""
        return self.pages.draw_fragment(request, "steps.html", **self._make_steps(find_row(self.view, request)))

    def show_report(self, request: Request) -> Response:
        """Show the report's parts."""
        session = find_row(self.view, request).session
        state = self.drawer.find_state(session) if session is not None else ""
        if session is None or not state:
            raise HTTPException(404)
        version = state[:16]
        if request.query_params.get("version") == version:
            return Response(status_code=204)
        drawing = self.drawer.draw(session, state)
        html = Markup(drawing.html)  # noqa: S704 - the report has escaped what it read
        return self.pages.draw_fragment(request, "report.html", version, html=html, problem=drawing.problem)

    def show_log(self, request: Request) -> Response:
        """Show the log of a run of this session, its end if it is long."""
        row = find_row(self.view, request)
        run_id = request.path_params["run_id"]
        run = next((run for run in self._list_runs(row.key) if run.run_id == run_id), None)
        # A run object of strangers may name any path: a log is where ours put it.
        if run is None or run.log != f"logs/{run.session}/{run.step}-{run.run_id}.log" or run.session != row.key:
            raise HTTPException(404)
        state = self.view.open_project().planner.state
        size = state.stat(run.log).size
        start = max(0, size - _MOST_LOG)
        text = state.read_range(run.log, start, size).decode("utf-8", "replace") if size else ""
        return self.pages.draw(
            request, "log.html", title=f"{run.session} {run.step}", run=run, lines=text.splitlines(),
            is_cut=start > 0, row=row, **self._split(row),
        )  # fmt: skip

    def _make_steps(self, row: Row) -> dict[str, Any]:
        plan = self.view.mark_running(row)
        running = {str(c["step"]): c for c in self.view.list_running() if c["session"] == row.key}
        runs = self._list_runs(row.key)
        version = digest(canonical_json([[state.as_dict() for state in plan.steps], [run.path for run in runs]]))[:16]
        logs = {run.log: run.run_id for run in runs if run.log}
        return {
            "pending": any(state.state in ("missing", "stale") for state in plan.steps),
            "row": row, "plan": plan, "running": running, "runs": runs, "logs": logs,
            "version": "" if running else version, **self._split(row),
        }  # fmt: skip

    def _list_label_steps(self, session: Session) -> dict[str, str]:
        """Return the steps whose ROIs or units can be labelled; none where only the report says what is wrong."""
        if self.pages.read_only:
            return {}
        try:
            return SessionFile.at(session.file).read(list_label_steps)
        except (NwbpipeError, OSError, LookupError, ValueError):
            return {}

    @staticmethod
    def _split(row: Row) -> dict[str, Any]:
        subject, _, session = row.key.partition("/")
        return {"subject": subject, "session": session}

    def _list_runs(self, key: str) -> list[RunObject]:
        """Return the last runs of a session, failed ones too, the newest first."""
        store = self.view.open_project().planner.runs
        entries = [entry for outcome in _OUTCOMES for entry in store.store.list(f"runs/{outcome}/{key}")]
        paths = [entry.path for entry in entries if entry.path.endswith(".json")]
        runs = []
        for path in sorted(paths, key=lambda path: path.rpartition("/")[2], reverse=True)[:_MOST_RUNS]:
            with suppress(NwbpipeError):
                runs.append(store.read(path))
        return sorted((run for run in runs if run.session == key), key=lambda run: run.started, reverse=True)
