"""NWB Widgets itself in Chromium: `nwbpipe tools install nwbwidgets`, and `make browser`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

import nwbpipe
from nwbpipe.demo import run_project_demo
from nwbpipe.serve import has_widgets, inspect_with_widgets
from tests.report.pages import write_rich_session
from tests.serve.browser import start_browser

# It takes a minute: the kernel imports a hundred packages, and each container is drawn.
pytestmark = [pytest.mark.tool, pytest.mark.long, pytest.mark.skipif(
    not has_widgets(), reason="NWB Widgets is not installed: `nwbpipe tools install nwbwidgets`"
)]  # fmt: skip
_OF_A_THREAD = pytest.mark.filterwarnings(  # of the end of the server
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
_HEADERS = ".jupyter-widget-Collapse-header"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from start_browser()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each modality, with containers such as those of our results; its texts are hostile."""
    from pynwb.image import ImageSeries

    path = write_rich_session(tmp_path_factory.mktemp("widgets") / "rich.nwb")
    names = ["<img src=x onerror=alert(1)>"]  # NWB Widgets tells that there is no such file
    with nwbpipe.transaction(path) as nwbfile:
        nwbfile.add_acquisition(
            ImageSeries(name="camera", format="external", external_file=names, unit="n.a.", timestamps=[0.0, 1.0])
        )
    return path


def show(location: Path | str) -> tuple[str, threading.Thread]:
    """Start the viewer in a thread, and return its address; it ends with its server."""
    addresses: list[str] = []
    thread = threading.Thread(
        target=lambda: inspect_with_widgets(location, lambda _: None, addresses.append, browse=False)
    )
    thread.start()
    ends = time.monotonic() + 120
    while not addresses and thread.is_alive() and time.monotonic() < ends:
        time.sleep(0.2)
    assert addresses
    return addresses[0], thread


@contextmanager
def open_widgets(browser: Any, session: Path) -> Iterator[tuple[Any, str]]:
    """Show a session, and give its page and the address without the token; nothing is asked for elsewhere."""
    address, thread = show(session)
    base = address.partition("?")[0]
    try:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        elsewhere: list[str] = []
        page.on("request", lambda request: elsewhere.append(request.url))
        page.on("dialog", lambda dialog: pytest.fail(f"a script of the file ran: {dialog.message}"))
        page.goto(address, timeout=180_000)
        page.wait_for_selector(_HEADERS, timeout=180_000)
        yield page, address
        loaded = [url for url in elsewhere if not url.startswith((base, "data:", "blob:"))]
        assert all("fontawesome" in url for url in loaded)  # asked for by Voila's page, refused by its policy
        page.close()
    finally:
        stop(thread)


@_OF_A_THREAD
def test_each_container_of_a_hostile_file_is_opened_and_none_fails(
    browser: Any, session: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "cache"))
    with open_widgets(browser, session) as (page, address):
        refused = httpx.get(address.partition("?")[0], follow_redirects=True)
        assert "/login" in str(refused.url)
        assert httpx.get(address, headers={"Host": "evil.example"}).status_code == 403
        seen = open_all(page)
    for name in ("processing", "pose", "units", "wheel", "movie", "masks", "camera"):
        assert any(name in title for title in seen), (name, seen)


@_OF_A_THREAD
def test_each_result_of_a_project_is_opened_and_none_fails(
    browser: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "cache"))
    run_project_demo(tmp_path / "lab", sessions=1)
    session = min((tmp_path / "lab" / "nwb").rglob("*.nwb"))
    results = {Path(output.path).name for record in nwbpipe.read_records(session) for output in record.outputs}
    with open_widgets(browser, session) as (page, _):
        seen = open_all(page)
    assert results
    for name in results:
        assert any(name in title for title in seen), (name, seen)


# Titles from the outermost part to each header or tab that is seen, and which one that is.
_PATHS = """() => {
  const found = []
  for (const element of document.querySelectorAll(".jupyter-widget-Collapse-header, .lm-TabBar-tab")) {
    const titles = [element.innerText.trim()]
    for (let e = element.parentElement.closest(".jupyter-widget-Collapse-contents"); e;
         e = e.parentElement.parentElement.closest(".jupyter-widget-Collapse-contents"))
      titles.unshift(e.parentElement.querySelector(".jupyter-widget-Collapse-header").innerText.trim())
    const seen = element.offsetParent !== null
    if (seen) { element.dataset.path = JSON.stringify(titles); found.push(element.dataset.path) }
    else delete element.dataset.path
  }
  return found
}"""


def open_all(page: Any) -> set[str]:
    """Open each part and each tab of the page, as a person does: the innermost first, and wait until it is drawn."""
    opened: set[str] = set()
    while rest := [path for path in page.evaluate(_PATHS) if path not in opened]:
        path = max(rest, key=lambda path: len(json.loads(path)))
        opened.add(path)
        page.locator(f"[data-path={json.dumps(path, ensure_ascii=False)}]").first.click()
        page.wait_for_function("!document.body.innerText.includes('Rendering...')", timeout=60_000)
        assert "can't draw" not in page.inner_text("body"), path
        assert len(opened) < 300
    return opened


def stop(thread: threading.Thread) -> None:
    """End the server as Ctrl-C does; in a thread there is no signal."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any("_widgets_server" in word for word in child.cmdline()):
                child.terminate()
    thread.join(60)
    assert not thread.is_alive()
