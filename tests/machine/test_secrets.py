"""Secrets reach no message, log, argument or file of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import Tool
from nwbpipe.errors import FileAccessError, show_text
from nwbpipe.files import _check

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
