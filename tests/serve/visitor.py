"""A visitor of the dashboard without a browser: requests go to the application as it is, with no server."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx

from nwbpipe.serve import Keys, ProjectView, create_app

BASE = "http://127.0.0.1:8650"


class Visitor:
    """Ask a dashboard for pages, with the cookie of one who has the token."""

    def __init__(self, project: Path, *, read_only: bool = False, cookie: bool = True) -> None:
        self.keys = Keys()
        self.view = ProjectView(project)
        self.app = create_app(self.view, self.keys, read_only=read_only)
        self.headers = {"cookie": f"nwbpipe={self.keys.cookie}"} if cookie else {}

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, root_path=options.pop("root_path", ""))
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                headers = {**self.headers, **options.pop("headers", {})}
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for a page."""
        return self.ask("GET", path, **options)

    def post(self, path: str, form: dict[str, str], **options: Any) -> httpx.Response:
        """Send a form of ours."""
        return self.ask("POST", path, data={"csrf": self.keys.csrf, **form}, **options)


def read_text(html: str) -> str:
    """Return what a page shows, without its tags."""
    import html as entities

    return re.sub(r"\s+", " ", entities.unescape(re.sub(r"<[^>]*>", " ", html)))
