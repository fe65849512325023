"""Secrets reach no message, log, argument or file of ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import nwbpipe
from nwbpipe import environments
from nwbpipe.cli import main
from nwbpipe.environments import Tool, _warm
from nwbpipe.errors import FileAccessError, show_text
from nwbpipe.files import _check
from tests.fixtures.processing import Scale

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "PLANTED1", "AWS_SESSION_TOKEN": "PLANTED2", "GITHUB_TOKEN": "PLANTED3",
    "DANDI_API_KEY": "PLANTED4", "PGPASSWORD": "PLANTED5", "SOME_URL": "https://user:PLANTED6@host/",
    "PIP_INDEX_URL": "https://user:PLANTED7@host/simple", "https_proxy": "http://user:PLANTED8@proxy",
    "SSH_AUTH_SOCK": "/PLANTED9",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:PLANTED@host/a.nwb?X-Amz-Signature=PLANTED&b=c", "https://…@host/a.nwb?…"),
        ("at s3://KEY:PLANTED@bucket/a, or tls://u:PLANTED@h:1", "at s3://…@bucket/a, or tls://…@h:1"),
        ("'https://host/a?token=PLANTED' is missing", "'https://host/a?…' is missing"),
        ("is it https://host/a?", "is it https://host/a?"),
        ("raw://**/session.yaml", "raw://**/session.yaml"),
        ("git clone https://github.com/org/tool", "git clone https://github.com/org/tool"),
        ("mail jane@host.org?", "mail jane@host.org?"),
    ],
)
def test_messages_show_no_user_and_no_signature(text: str, shown: str) -> None:
    assert show_text(text) == shown
    assert "PLANTED" not in str(FileAccessError(text, where=text, found=text))


def test_a_presigned_url_is_no_argument_of_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def run(command: list[str], **options: object) -> None:
        seen.update(options, command=command)
        raise _check.subprocess.TimeoutExpired(command, 1.0)

    monkeypatch.setattr(_check.subprocess, "run", run)
    url = "https://host/a.nwb?X-Amz-Signature=PLANTED"
    _check._probe_in_process(url, 1, (), 1.0, ("python", "-m", "probe"))
    assert "PLANTED" not in " ".join(map(str, seen["command"]))  # type: ignore[call-overload]
    assert seen["input"] == url


def test_a_run_gets_and_leaves_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    environment = environments.find(Tool("numpy", ("numpy>=1.20",)))
    result = environments.run(
        environment, "tests.fixtures._environment_compute", {"threads": 1}, scratch=tmp_path, log=tmp_path / "log"
    )
    assert not [name for name, value in result.summary["variables"].items() if "PLANTED" in value]
    assert {"PATH", "HOME"} <= set(result.summary["variables"])
    for folder, _, names in os.walk(tmp_path):
        for name in names:
            file = Path(folder, name)
            assert b"PLANTED" not in file.read_bytes(), file
            if os.name != "nt" and file.name in ("log", "request.json"):
                assert file.stat().st_mode & 0o077 == 0


def test_commands_leave_no_secret(
    session_nwb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Run, look, ask and lock: nothing that is printed or written, and no argument of a child, holds a secret."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:PLANTED7@127.0.0.1:1/simple")  # nobody answers
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    for kind in ("LOGS", "SCRATCH", "CACHE", "TOOLS"):
        monkeypatch.setenv(f"NWBPIPE_{kind}", str(tmp_path / kind))
    children: list[str] = []
    start = subprocess.Popen.__init__

    def watch(self: Any, args: Any, *more: Any, **options: Any) -> None:
        children.append(str(args))
        start(self, args, *more, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", watch)
    _warm.end_warm()  # the start of the tool's Python is looked at, too
    nwbpipe.process(session_nwb, Scale())
    address = "http://user:PLANTED@127.0.0.1:1/a.nwb?X-Amz-Signature=PLANTED"
    commands = {
        ("report", str(session_nwb), "-o", str(tmp_path / "page.html")): 0,
        ("query", "SELECT * FROM runs", str(session_nwb), "--json"): 0,
        ("log", str(session_nwb), "--json"): 0,
        ("report", address, "-o", str(tmp_path / "other.html")): 1,
        ("query", "SELECT * FROM runs", address): 1,
        ("tools", "lock", "facemap", "-o", str(tmp_path / "lock.txt")): 1,
    }
    for command, code in commands.items():
        with pytest.raises(SystemExit) as ended:
            main(list(command))
        assert (ended.value.code or 0) == code, (command, capfd.readouterr().err)
    printed = capfd.readouterr()
    assert "PLANTED" not in printed.out + printed.err
    assert any("compile" in child for child in children)
    assert any("_worker" in child for child in children)
    assert "PLANTED" not in "".join(children)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"page.html", session_nwb.name} <= {file.name for file in files}
    assert [file for file in files if b"PLANTED" in file.read_bytes()] == []
