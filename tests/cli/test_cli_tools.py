"""``nwbpipe tools``: what it prints and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nwbpipe.cli._main import app
from nwbpipe.errors import OverwriteError, RequestError, UnknownNameError


@pytest.fixture(autouse=True)
def own_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NWBPIPE_TOOLS", str(tmp_path / "tools"))
    for name in ("CAIMAN", "EXTRACT"):
        monkeypatch.delenv(f"NWBPIPE_TOOL_{name}_CHECKOUT", raising=False)
    return tmp_path / "tools"


def tools(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["tools", *words], catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def test_the_list_says_where_a_tool_is_or_how_to_get_it() -> None:
    rows = {row["name"]: row for row in json.loads(tools("list", "--json")[1])}
    assert rows["spikeinterface"]["kind"] == "current"
    assert rows["suite2p"]["kind"] is None
    assert rows["suite2p"]["get"].startswith("nwbpipe tools install suite2p")
    assert rows["suite2p"]["licence"] == "GPL-3.0-only"
    assert rows["kilosort4"]["requirements"][0].startswith("kilosort")
    code, text = tools("list")
    assert code == 0
    assert re.search("^suite2p +not installed: nwbpipe tools install suite2p", text, re.MULTILINE)


def test_a_dockerfile_is_printed_or_written(tmp_path: Path) -> None:
    assert "FROM python:3." in tools("dockerfile", "suite2p")[1]
    tools("dockerfile", "suite2p", "-o", str(tmp_path / "image"))
    names = {path.name for path in (tmp_path / "image").iterdir()}
    assert names == {"Dockerfile", "nwbpipe.def", "requirements.txt", "constraints.txt"}
    assert (tmp_path / "image" / "requirements.txt").read_text().startswith("suite2p>=1.1")


def test_a_dockerfile_overwrites_no_file_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    with pytest.raises(OverwriteError, match=r"already has a requirements.txt"):
        tools("dockerfile", "suite2p", "-o", str(tmp_path))
    assert (tmp_path / "requirements.txt").read_text() == "numpy\n"
    assert not (tmp_path / "Dockerfile").exists()
    (tmp_path / "requirements.txt").unlink()
    for _ in range(2):  # what is there already is no obstacle
        assert tools("dockerfile", "suite2p", "-o", str(tmp_path))[0] == 0


def test_the_doctor_ends_with_1_where_something_is_at_fault(own_tools: Path) -> None:
    assert tools("doctor", "facemap")[0] == 0
    (own_tools / "facemap").mkdir(parents=True)
    code, text = tools("doctor", "facemap", "--json")
    assert code == 1
    assert [row["verdict"] for row in json.loads(text) if row["about"] == "facemap"] == ["fault"]


def test_an_unknown_tool_and_an_unknown_kind_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'suite2p'"):
        tools("lock", "suit2p")
    assert tools("install", "suite2p", "--kind", "cloud")[0] == 2
    with pytest.raises(RequestError, match=r"can.t be installed"):
        tools("install", "suite2p", "--kind", "existing")
