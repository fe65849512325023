"""The page of all sessions, and what runs now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nwbpipe.errors import RequestError
from nwbpipe.project.plan import STATE_MARKS
from nwbpipe.provenance import canonical_json, digest
from nwbpipe.serve._pages import Pages, make_query, read_count
from nwbpipe.serve._processes import RunProcesses
from nwbpipe.serve._view import ProjectView, Row, Selection, Snapshot, cut_page

LENGTH = 100  # rows of a page
_FIELDS = ("session_start_time", "species", "sex", "genotype")  # columns, if any session has them


def read_selection(values: Any) -> Selection:
    """Return the selection that the query of an address, or a form, asks for."""
    state = values.get("state", "")
    return Selection(
        values.get("where", "").strip(), values.get("search", "").strip(), state if state in STATE_MARKS else "",
        values.get("sort", ""),
    )  # fmt: skip


class Overview:
    """The page of all sessions."""

    def __init__(self, view: ProjectView, pages: Pages, processes: RunProcesses) -> None:
        self.view, self.pages, self.processes = view, pages, processes

    def show(self, request: Request) -> Response:
        """Show the whole page."""
        table, running = self._make_table(request), self._make_running()
        values = {**table, **running, "table_version": table["version"], "running_version": running["version"]}
        values.pop("version")
        name, has_specs = self._find_name()
        return self.pages.draw(request, "overview.html", title=name, has_specs=has_specs, **values)

    def show_table(self, request: Request) -> Response:
        """Show the table alone."""
        return self.pages.draw_fragment(request, "table.html", **self._make_table(request))

    def show_running(self, request: Request) -> Response:
        """Show what runs."""
        return self.pages.draw_fragment(request, "running.html", **self._make_running())

    def _find_name(self) -> tuple[str, bool]:
        """Return the project's name, and True if its sessions are specs."""
        try:
            spec = self.view.open_project().spec
        except RequestError:
            return self.view.path.parent.name, False
        return spec.name, not spec.sessions.endswith(".nwb")

    def _make_table(self, request: Request) -> dict[str, Any]:
        snapshot, selection = self.view.ask(), read_selection(request.query_params)
        mistake, rows = "", []
        try:
            rows = self.view.select(snapshot, selection)
        except RequestError as error:
            mistake = f"{error.problem.what}: {error.problem.found}. {error.problem.expected or ''}"
        page = cut_page(rows, read_count(request.query_params.get("page", ""), 1), LENGTH)
        names = [name for name in _FIELDS if any(row.session and row.session.fields.get(name) for row in page.rows)]
        cells = [self._make_row(row, snapshot.steps, names) for row in page.rows]
        query = {"where": selection.condition, "search": selection.search, "state": selection.state}
        values = {
            "snapshot": snapshot, "selection": selection, "mistake": mistake, "page": page, "fields": names,
            "rows": cells, "counts": self._count(snapshot), "query": make_query(**query, sort=selection.sort),
            "page_query": make_query(**query, sort=selection.sort, page=page.number),
            "sort_queries": self._make_sorts(query, ["session", *names, *snapshot.steps], selection.sort),
            "state_queries": {
                state: make_query(**{**query, "state": "" if state == selection.state else state})
                for state in STATE_MARKS
            },
            "keys": self._list_keys(selection, rows),
        }  # fmt: skip
        state = [snapshot.number, str(selection), page.number, mistake, self._name_running()]
        return {**values, "version": digest(canonical_json(state))[:16]}

    def _make_row(self, row: Row, steps: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        subject, _, session = row.key.partition("/")
        fields = row.session.fields if row.session is not None else {}
        plan = self.view.mark_running(row)
        return {
            "key": row.key, "subject": subject, "session": session,
            "fields": [fields.get(name, "") for name in names],
            "cells": [plan.select_step(step) for step in steps],
        }  # fmt: skip

    def _count(self, snapshot: Snapshot) -> dict[str, int]:
        counts = self.view.count_states(snapshot)
        return {state: counts[state] for state in STATE_MARKS if state in counts}

    @staticmethod
    def _make_sorts(query: dict[str, str], names: Sequence[str], sort: str) -> dict[str, tuple[Any, str]]:
        """Return for each column the query that sorts by it, and how it is sorted now."""
        current = sort or "session"
        sorts = {}
        for name in names:
            order = "ascending" if current == name else "descending" if current == f"-{name}" else ""
            sorts[name] = make_query(**query, sort=f"-{name}" if order == "ascending" else name), order
        return sorts

    @staticmethod
    def _list_keys(selection: Selection, rows: Sequence[Row]) -> list[str]:
        """Return the keys that a run of the chosen sessions names; none if a condition says it, or all are chosen."""
        return [row.key for row in rows if row.session] if selection.search or selection.state else []

    def _name_running(self) -> list[list[str]]:
        return [[str(content["session"]), str(content["step"])] for content in self.view.list_running()]

    def _make_running(self) -> dict[str, Any]:
        processes = self.processes.list()
        process_rows = [(item, item.state, item.read_tail()) for item in processes]
        running = self.view.list_running()
        state = [self._name_running(), [[item.number, state, lines] for item, state, lines in process_rows]]
        # Times go on: what runs is drawn again at each look.
        version = "" if running else digest(canonical_json(state))[:16]
        own_pids = {item.process.pid for item in processes}  # they have a button of their own
        return {"running": running, "processes": process_rows, "own_pids": own_pids, "version": version}
