"""One session file in a viewer: its report, or neurosift, which reads it by ranges."""

from __future__ import annotations

import asyncio
import html
import os
import stat
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from nwbpipe.cli import main
from nwbpipe.errors import FileAccessError, RequestError
from nwbpipe.serve import open_address
from nwbpipe.serve._inspect import NEUROSIFT, FileServer, inspect_with_neurosift, make_neurosift_link


def test_the_report_is_a_page_in_the_cache_whose_address_is_printed(
    session_nwb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "cache"))
    addresses = []
    monkeypatch.setattr("nwbpipe.serve.open_address", addresses.append)
    for words in ([], ["--no-browser"]):
        with pytest.raises(SystemExit) as ended:
            main(["inspect", str(session_nwb), "--with", "report", *words])
        assert ended.value.code == 0
    first, second = capsys.readouterr().out.split()
    assert first == second
    assert addresses == [first]
    page = Path(urlsplit(first).path)
    assert page.is_relative_to(tmp_path / "cache")
    assert "m1" in page.read_text()


def test_no_browser_is_opened_where_there_is_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not open_address("http://x")
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_address("http://x")
    assert opened == ["http://x"]


def test_a_file_with_an_address_is_a_link(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    links: list[str] = []
    inspect_with_neurosift("https://lab.example/a b.nwb?v=1&w=2", said.append, links.append, browse=False)
    assert links == [f"{NEUROSIFT}/nwb?url=https%3A%2F%2Flab.example%2Fa%20b.nwb%3Fv%3D1%26w%3D2"]
    assert "not ours" in said[0]


@pytest.mark.parametrize("url", ["s3://bucket/a.nwb", "https://user:secret@lab.example/a.nwb", "https:///a.nwb"])
def test_other_addresses_are_refused_and_no_password_is_shown(url: str) -> None:
    with pytest.raises(RequestError) as caught:
        make_neurosift_link(url)
    assert "secret" not in str(caught.value)


def ask(server: FileServer, method: str, path: str, **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=server), base_url="http://127.0.0.1"
        ) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(send())


def test_a_file_of_this_machine_is_served_by_ranges_to_neurosift_alone(session_nwb: Path) -> None:
    server = FileServer(session_nwb)
    try:
        link = make_neurosift_link(server.address)
        address = parse_qs(urlsplit(link).query)["url"][0]
        path, data = urlsplit(address).path, session_nwb.read_bytes()
        part = ask(server, "GET", path, range="bytes=10-29")
        assert (part.status_code, part.content) == (206, data[10:30])
        assert part.headers["content-range"] == f"bytes 10-29/{len(data)}"
        assert part.headers["access-control-allow-origin"] == NEUROSIFT
        assert "Content-Range" in part.headers["access-control-expose-headers"]
        before = ask(server, "OPTIONS", path)
        assert before.status_code == 204
        assert before.headers["access-control-allow-private-network"] == "true"
        assert int(ask(server, "HEAD", path).headers["content-length"]) == len(data)
        assert ask(server, "GET", f"/guess/{session_nwb.name}").status_code == 404
        assert ask(server, "GET", "/").status_code == 404
        assert ask(server, "GET", path, host="evil.example").status_code == 404
        assert ask(server, "PUT", path).status_code == 405
    finally:
        server.close()


def test_a_file_that_changes_is_served_no_more_since_parts_of_two_would_mix(session_nwb: Path) -> None:
    server = FileServer(session_nwb)
    try:
        path = urlsplit(server.address).path
        beyond = ask(server, "GET", path, range="bytes=999999999-")
        assert beyond.status_code == 416
        assert beyond.headers["access-control-allow-origin"] == NEUROSIFT
        session_nwb.write_bytes(session_nwb.read_bytes() + b"more")
        assert ask(server, "GET", path, range="bytes=0-9").status_code == 410
        session_nwb.unlink()
        assert ask(server, "GET", path).status_code == 410
    finally:
        server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such name")
def test_a_name_that_is_not_utf_8_is_served(session_nwb: Path) -> None:
    odd = session_nwb.rename(session_nwb.with_name(os.fsdecode(b"a\xff %2F#.nwb")))
    server = FileServer(odd)
    server.close()
    assert server.address.endswith("/a%3F%20%252F%23.nwb")
    assert ask(server, "HEAD", urlsplit(server.address).path).status_code == 200


def test_no_program_is_started_with_the_secret_address(
    session_nwb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All users of a machine see the words that a browser is started with."""
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "cache"))
    links: list[str] = []
    pages: list[tuple[str, str, int]] = []

    def browse(address: str) -> bool:
        page = Path(urlsplit(address).path)
        pages.append((address, html.unescape(page.read_text()), stat.S_IMODE(page.stat().st_mode)))
        return True

    monkeypatch.setattr("nwbpipe.serve._inspect.open_address", browse)
    monkeypatch.setattr(FileServer, "run", FileServer.close)
    inspect_with_neurosift(session_nwb, lambda _: None, links.append)
    inspect_with_neurosift("https://lab.example/a.nwb?signature=x", lambda _: None, links.append)
    inspect_with_neurosift(session_nwb, lambda _: None, links.append, browse=False)
    assert len(links) == 3
    for link, (address, text, mode) in zip(links, pages, strict=False):
        assert address.startswith("file://")
        assert link not in address
        assert f'url={link}"' in text
        assert mode == 0o600
    assert len(pages) == 2
    assert len([*(tmp_path / "cache" / "links").iterdir()]) == 1  # that of the server has ended with it


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError):
        FileServer(tmp_path / "nothing.nwb")
