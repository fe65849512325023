"""What a user configured for pip reaches uv."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nwbpipe.environments import _pip_settings
from nwbpipe.environments._pip_settings import read_uv_settings


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this machine's own pip configuration out."""
    monkeypatch.setattr(_pip_settings, "_list_configuration_files", lambda environment: [])


def test_variables_are_passed_on() -> None:
    settings = read_uv_settings(
        {
            "PIP_FIND_LINKS": "/wheels /more wheels".replace("more wheels", "more"),
            "PIP_EXTRA_INDEX_URL": "https://a.example/simple https://b.example/simple",
            "PIP_INDEX_URL": "https://c.example/simple",
            "PIP_CONSTRAINT": "constraints.txt",
        }
    )
    assert settings == {
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_DEFAULT_INDEX": "https://c.example/simple",
        "UV_CONSTRAINT": "constraints.txt",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_uvs_own_settings_stand() -> None:
    assert read_uv_settings({"PIP_FIND_LINKS": "/a", "UV_FIND_LINKS": "/b"}) == {}


def test_nothing_configured() -> None:
    assert read_uv_settings({}) == {}


def test_a_configuration_file_is_read_and_variables_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nfind-links =\n    /one\n    /two\n[install]\nindex_url = https://x.example\n")
    monkeypatch.setattr(_pip_settings, "_list_configuration_files", lambda environment: [file])
    settings = read_uv_settings({"PIP_INDEX_URL": "https://y.example"})
    assert settings == {"UV_FIND_LINKS": "/one,/two", "UV_DEFAULT_INDEX": "https://y.example"}


@pytest.mark.parametrize(("no_index", "index"), [("1", "file:///nonexistent"), ("0", "https://c.example")])
def test_without_an_index_uv_gets_one_that_is_empty(no_index: str, index: str) -> None:
    settings = read_uv_settings(
        {"PIP_NO_INDEX": no_index, "PIP_FIND_LINKS": "/wheels", "PIP_INDEX_URL": "https://c.example"}
    )
    assert settings == {"UV_FIND_LINKS": "/wheels", "UV_DEFAULT_INDEX": index}


def test_make_sources_what_the_file_prints(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "/a'b;c"}
    script = f'eval "$("{sys.executable}" "{_pip_settings.__file__}")"; printf %s "$UV_FIND_LINKS"'
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "/a'b;c"
