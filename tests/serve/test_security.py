"""Who may ask the dashboard, for what, and what its answers let a browser do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nwbpipe.errors import RequestError
from nwbpipe.serve._processes import _is_runner, stop_runner
from nwbpipe.serve._security import is_allowed_host, is_loopback
from nwbpipe.serve._server import _clean_prefix, listen
from tests.fixtures.projects import HEAD
from tests.serve.visitor import Visitor


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A project without sessions."""
    (tmp_path / "nwb").mkdir()
    (tmp_path / "nwbpipe.toml").write_text(HEAD)
    return tmp_path


def test_without_token_or_cookie_nothing_is_shown(empty: Path) -> None:
    stranger = Visitor(empty, cookie=False)
    for path in ("/", "/static/style.css", "/session/a/b", "/part/table", "/nothing"):
        assert stranger.get(path).status_code == 403, path
    assert stranger.post("/run", {}).status_code == 403
    assert stranger.get("/?token=wrong").status_code == 403
    assert stranger.get("/", headers={"cookie": "nwbpipe=wrong"}).status_code == 403
    assert stranger.get("/", headers={"cookie": b"nwbpipe=\xe4;;=,"}).status_code == 403


@pytest.mark.parametrize("others", ['a={"x": 1}', "a=b c", "a", "p[q]=1", 'a="x', "nwbpipe=other", "\xe4=1"])
def test_cookies_of_what_else_this_machine_serves_lock_nobody_out(empty: Path, others: str) -> None:
    visitor = Visitor(empty)
    for text in (f"{others}; nwbpipe={visitor.keys.cookie}", f"nwbpipe={visitor.keys.cookie}; {others}"):
        assert visitor.get("/", headers={"cookie": text.encode("latin-1")}).status_code == 200
    assert visitor.get("/", headers={"cookie": others.encode("latin-1")}).status_code == 403


def test_the_token_gives_a_cookie_that_scripts_and_other_sites_do_not_get(empty: Path) -> None:
    stranger = Visitor(empty, cookie=False)
    answer = stranger.get("//evil.example/x", params={"token": stranger.keys.token, "where": 'sex = "F"'})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert stranger.keys.token not in answer.text
    assert stranger.keys.token not in answer.headers["set-cookie"]
    assert 'content="0; url=/evil.example/x?where=sex+%3D+%22F%22"' in answer.text
    assert stranger.get("/", headers={"cookie": answer.headers["set-cookie"].partition(";")[0]}).status_code == 200


def test_browsers_send_the_cookie_below_a_secret_path_alone(empty: Path) -> None:
    """To a browser, what another user serves at another port of this machine is the same site."""
    visitor = Visitor(empty)
    place = visitor.keys.place
    answer = visitor.get("/session/m1/s1", params={"token": visitor.keys.token}, below=False)
    assert f"path={place};" in answer.headers["set-cookie"].lower().replace(place.lower(), place)
    assert f'content="0; url={place}/session/m1/s1"' in answer.text
    assert visitor.get(f"{place}/", below=False).status_code == 200
    assert f'href="{place}/static/style.css"' in visitor.get(f"{place}/", below=False).text
    for path in ("/", "/static/style.css", f"{place}x/", "/at-x/", place[:-1]):
        refused = visitor.get(path, below=False)
        assert refused.status_code == 403, path
        assert place not in refused.text
    assert visitor.post("/run", {}, below=False).status_code == 403


def test_the_cookie_stays_below_the_prefix_of_a_proxy(empty: Path) -> None:
    visitor = Visitor(empty)
    answer = visitor.get(f"/lab/nwb/?token={visitor.keys.token}", root_path="/lab/nwb")
    assert "path=/lab/nwb" in answer.headers["set-cookie"].lower()
    page = visitor.get("/lab/nwb/", root_path="/lab/nwb").text
    assert 'href="/lab/nwb/static/style.css"' in page
    assert visitor.get("/lab/nwb/static/live.js", root_path="/lab/nwb").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8650", "", "localhost.", "[::1"])
def test_other_names_are_refused(empty: Path, host: str) -> None:
    assert Visitor(empty).get("/", headers={"host": host}).status_code == (200 if host == "[::1" else 400)


def test_our_names_are_known() -> None:
    for header in ("localhost:8650", "LOCALHOST", "127.0.0.1:1", "[::1]:8650", "192.168.0.7", "lab.example:80"):
        assert is_allowed_host(header, {"localhost", "lab.example"})
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "lab.example")] == [
        *[True] * 3,
        *[False] * 2,
    ]


def test_a_form_needs_our_own_page(empty: Path) -> None:
    visitor = Visitor(empty)
    assert visitor.ask("POST", "/run", data={"csrf": "wrong"}).status_code == 400
    assert visitor.ask("POST", "/run", data={}).status_code == 400
    other_site = {"sec-fetch-site": "cross-site"}
    assert visitor.post("/run", {}, headers=other_site).status_code == 403
    assert visitor.ask("POST", "/run", content=b"csrf=%ff").status_code == 400
    assert visitor.ask("POST", "/run", content=b"a=" + bytes(2**20)).status_code == 400
    assert visitor.get("/run").status_code == 405


def test_read_only_refuses_every_form_and_shows_none(empty: Path) -> None:
    visitor = Visitor(empty, read_only=True)
    assert visitor.post("/run", {}).status_code == 403
    assert visitor.post("/stop", {"number": "1"}).status_code == 403
    page = visitor.get("/").text
    assert "read only" in page
    assert 'method="post"' not in page


def test_answers_allow_no_script_but_our_file(empty: Path) -> None:
    for path in ("/", "/nothing", "/?token=wrong"):
        headers = Visitor(empty).get(path).headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in Visitor(empty).get("/").text


def test_static_files_are_those_that_we_offer(empty: Path) -> None:
    visitor = Visitor(empty)
    assert ".findings" in visitor.get("/static/report.css").text
    assert visitor.get("/static/live.js").headers["content-type"].startswith("text/javascript")
    for name in ("..%2f_app.py", "%2e%2e/templates/base.html", "nothing.css"):
        assert visitor.get(f"/static/{name}").status_code == 404


def test_only_a_runner_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _is_runner(["/lab/bin/python", "-P", "-m", "nwbpipe", "run", "--project=x"])
    assert _is_runner(["/lab/bin/python", "/lab/bin/nwbpipe", "watch", "--project", "x"])
    assert not _is_runner(["vim", "notes", "nwbpipe", "run"])
    assert not _is_runner(["vim", "nwbpipe", "run"])
    assert not _is_runner(["grep", "-m", "nwbpipe", "run"])
    assert not _is_runner(["nwbpipe", "status"])
    assert not _is_runner([])
    assert _is_runner(["nwbpipe", "run"])
    import psutil

    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        since = psutil.Process(other.pid).create_time()
        for lease in (
            {"is_here": False, "pid": other.pid, "pid_since": since},
            {"is_here": True, "pid": other.pid, "pid_since": since},
            {"is_here": True, "pid": os.getpid(), "pid_since": 0.0},
            {"is_here": True, "pid": 2**70, "pid_since": 0.0},
            {"is_here": True},
        ):
            with pytest.raises(RequestError):
                stop_runner(lease)
        monkeypatch.setattr("nwbpipe.serve._processes._is_runner", lambda _: True)
        with pytest.raises(RequestError):  # the number of a process that has ended is given to another
            stop_runner({"is_here": True, "pid": other.pid, "pid_since": since - 60})
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_port_in_use_is_told_unless_it_is_the_default() -> None:
    first = listen("127.0.0.1", 0)
    try:
        with pytest.raises(RequestError) as caught:
            listen("127.0.0.1", first.getsockname()[1])
        assert "--port" in str(caught.value.problem.hint)
    finally:
        first.close()
    with pytest.raises(RequestError):
        listen("no such host", 0)


@pytest.mark.parametrize("text", ["/lab/../x?y", "//a//b", "/läb", "/a b"])
def test_a_root_path_is_a_path(text: str) -> None:
    assert _clean_prefix("lab/nwb/") == "/lab/nwb"
    assert _clean_prefix("/") == ""
    with pytest.raises(RequestError):
        _clean_prefix(text)
