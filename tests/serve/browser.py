"""A real browser at a real server: fixtures for the tests of the pages."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from nwbpipe.serve import Keys, ProjectView, create_app

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def start_browser() -> Iterator[Any]:
    """Yield a headless Chromium; skip where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="`make browser` installs Playwright")
    program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium: `make browser` installs one ({str(error).splitlines()[0]})")
        yield browser
        browser.close()


@contextmanager
def serve_in_thread(project: Path, **options: Any) -> Iterator[str]:
    """Serve a project's dashboard; yield its address with the token."""
    keys, view = Keys(), ProjectView(project)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = create_app(view, keys, **options)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/?token={keys.token}"
        finally:
            server.should_exit = True
            thread.join()


class Screen:
    """One page of a browser that keeps what its console says."""

    def __init__(self, browser: Any, address: str, width: int = 1400) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900})
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)  # of a machine that does much else
        self.errors: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector("main")
        self.base = self.page.url.rstrip("/")

    def open(self, path: str, selector: str = "main") -> Any:
        """Open a page, and wait until something is on it."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector(selector)
        return self.page

    def wait_for(self, selector: str, text: str, seconds: float = 40.0) -> None:
        """Wait until an element holds a text."""
        self.page.locator(selector, has_text=text).first.wait_for(timeout=1000 * seconds)
