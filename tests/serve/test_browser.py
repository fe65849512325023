"""The dashboard in Chromium; see `make browser`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.project import Project
from nwbpipe.project.state import Leases
from tests.fixtures.projects import HANGING, make_project
from tests.serve.browser import Screen, serve_in_thread, start_browser
from tests.serve.specs import SUBJECT, write_spec_project

pytestmark = [pytest.mark.tool, pytest.mark.usefixtures("test_processors")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from start_browser()


@pytest.fixture
def screen(browser: Any, lab: Project) -> Iterator[Screen]:
    """The dashboard of the project, in which nothing may be wrong in the console at the end."""
    with serve_in_thread(lab.spec.path) as address:
        screen = Screen(browser, address)
        yield screen
        screen.context.close()
        assert screen.errors == []


def test_pages_load_and_the_table_sorts_and_filters(screen: Screen) -> None:
    page = screen.open("/", "table.sessions")
    assert page.url == f"{screen.base}/"  # without the token

    def keys() -> list[str]:
        return [row.inner_text() for row in page.query_selector_all("tbody th")]

    assert keys() == ["m1/s0", "m1/s1", "m1/s2"]
    page.click("thead >> text=session")
    page.wait_for_selector("th[aria-sort=descending]")
    assert keys() == ["m1/s2", "m1/s1", "m1/s0"]
    page.fill("text=Condition", "sex = 'F'")
    page.keyboard.press("Enter")
    screen.wait_for(".bar", "2 sessions chosen")
    assert keys() == ["m1/s2", "m1/s0"]
    page.click(".chip >> text=done")
    screen.wait_for(".bar", "0 sessions chosen")
    page.click("text=all sessions")
    page.click("tbody >> text=m1/s1")
    page.wait_for_selector("#report svg")
    assert "Graph of runs" in page.inner_text("#report")
    page.click("summary >> text=Runs: 2")
    page.click(".runs a >> nth=0")
    page.wait_for_selector('h2:has-text("Log")')
    assert page.evaluate("document.cookie") == ""


def test_progress_moves_while_a_run_goes_on_until_it_is_stopped(browser: Any, tmp_path: Path) -> None:
    project = make_project(tmp_path / "lab", 1, HANGING)
    with serve_in_thread(project.spec.path) as address:
        screen = Screen(browser, address)
        screen.page.wait_for_selector("table.sessions")
        screen.page.click("text=Run what is missing or stale")
        screen.wait_for(".process summary", "running run of all sessions")
        screen.wait_for("tbody .cell .running", "running")
        screen.wait_for("h2", "Running now")
        assert screen.page.query_selector("text=stop runner") is None  # it is ours: one button stops it
        screen.page.click("button >> text=Stop")
        screen.wait_for(".process summary", "stopped run of all sessions")
        screen.wait_for("tbody .cell .missing", "missing")
        assert screen.page.query_selector('h2:has-text("Running now")') is None
        assert screen.errors == []
        screen.context.close()


def test_a_button_is_not_replaced_under_the_pointer_and_keeps_its_focus(browser: Any, tmp_path: Path) -> None:
    project = make_project(tmp_path / "lab", 2)
    leases = Leases(project.planner.state)
    try:
        for session in ("m1/s0", "m1/s1"):
            assert leases.take(session.replace("/", "-"), session=session, step="first") is not None
        with serve_in_thread(project.spec.path) as address:
            screen = Screen(browser, address)
            page = screen.page
            page.wait_for_selector("button >> text=stop runner >> nth=1")
            page.evaluate("addEventListener('submit', (event) => { event.preventDefault(); window.sent = 1; })")
            with page.expect_response("**/part/running*"):
                page.focus("button >> text=stop runner >> nth=1")
            page.wait_for_timeout(300)
            assert page.evaluate("document.activeElement.form.session.value") == "m1/s1"
            box = page.query_selector("button >> text=stop runner >> nth=0").bounding_box()
            page.mouse.move(box["x"] + 5, box["y"] + 5)
            page.mouse.down()
            for _ in range(2):
                with page.expect_response("**/part/running*"):
                    pass
            page.mouse.up()
            assert page.evaluate("window.sent") == 1
            for _ in range(2):  # and the page goes on
                with page.expect_response("**/part/running*"):
                    pass
            page.evaluate("for (const type of ['pointerdown', 'contextmenu']) dispatchEvent(new Event(type))")
            leases.close()
            page.wait_for_selector("text=Running now", state="detached")
            assert screen.errors == []
            screen.context.close()
    finally:
        leases.close()


def test_a_form_is_refused_corrected_and_saved_and_a_second_editor_told(browser: Any, tmp_path: Path) -> None:
    spec = write_spec_project(tmp_path / "lab")
    subject = spec.parents[1] / "m1.yaml"
    with serve_in_thread(tmp_path / "lab") as address:
        first, second = Screen(browser, address), Screen(browser, address)
        page = first.open("/session/m1/s1/edit", "fieldset")
        second.open("/session/m1/s1/edit", "fieldset").fill('[name="subject.weight"]', "24 g")
        page.fill('[name="subject.species"]', "mouse")
        page.select_option("text=sex", "M")
        page.click("text=Show the difference")
        first.wait_for(".field:has(#subject\\.species) .mistake", "Latin binomial")
        assert subject.read_text() == SUBJECT
        page.fill('[name="subject.species"]', "Mus spretus")
        page.click("text=Show the difference")
        first.wait_for(".difference .added", "species: Mus spretus")
        page.click("text=Back to the form")
        page.click("text=Show the difference")
        page.click("text=Save")
        first.wait_for("[role=status]", "Saved.")
        assert subject.read_text() == SUBJECT.replace("sex: F", "sex: M").replace("Mus musculus", "Mus spretus")
        first.wait_for(".fields", "Mus spretus")
        second.page.click("text=Show the difference")
        second.wait_for("[role=alert]", "has changed since this form was opened")
        assert second.page.input_value('[name="subject.weight"]') == "24 g"
        refusals = [
            text for text in (*first.errors, *second.errors) if "status of 422" in text or "status of 409" in text
        ]
        assert [*first.errors, *second.errors] == refusals  # Chromium counts them as errors
        assert len(refusals) == 2


def test_a_narrow_screen_scrolls_the_table_and_not_the_page(browser: Any, lab: Project) -> None:
    with serve_in_thread(lab.spec.path, read_only=True) as address:
        screen = Screen(browser, address, width=500)
        screen.open("/session/m1/s0", "table")
        assert screen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert screen.page.query_selector("button") is None
        screen.context.close()
