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

    def ask(
        self, method: str, path: str, *, below: bool = True, root_path: str = "", **options: Any
    ) -> httpx.Response:
        """Send a request; the secret place of the pages is put into the path, and taken out of the answer."""
        place = self.keys.place if below else ""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, root_path=root_path)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                headers = {**self.headers, **options.pop("headers", {})}
                address = f"{BASE}{root_path}{place}{path.removeprefix(root_path)}"
                return await client.request(method, address, headers=headers, **options)

        answer = asyncio.run(send())
        shown = [(name, text.replace(place, "")) for name, text in answer.headers.multi_items()]
        return httpx.Response(answer.status_code, headers=shown, content=answer.content.replace(place.encode(), b""))

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
