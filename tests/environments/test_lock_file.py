"""A lock holds names, versions and hashes; an installer obeys nothing else of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import EnvironmentKind, Tool, _installers
from nwbpipe.environments._installers import build_installer_variables
from nwbpipe.environments._lock_file import read_conda_lock, read_lock
from nwbpipe.errors import RequestError
from nwbpipe.machine import select_variables, trust

TINY = Tool("tinytool", ("tinytool>=1.0",))
HASH = "--hash=sha256:" + "0" * 64


def write(folder: Path, text: str) -> Path:
    file = folder / "lock.txt"
    file.write_text(text)
    return file


def test_names_versions_markers_and_hashes_are_taken(tmp_path: Path) -> None:
    text = (
        "# tinytool: a comment\n\nTiny_Tool==0.1\n"
        f"tinytool==1.2 \\\n    {HASH} \\\n    {HASH}\n"
        "colorama==0.4 ; sys_platform == 'win32'  # only there\nuvicorn[standard]==0.30\ntorch==2.13.0+cpu"
    )
    lock = read_lock(write(tmp_path, text), TINY)
    assert lock.lines[1] == f"tinytool==1.2 {HASH} {HASH}"
    assert len(lock.lines) == 5
    assert lock.versions["tinytool"] == "1.2"
    assert "colorama" not in lock.versions
    assert not lock.has_hashes
    assert read_lock(write(tmp_path, f"tinytool==1.2 {HASH}\n"), TINY).has_hashes


@pytest.mark.parametrize(
    "line",
    [
        "./evil",
        "/evil",
        "evil @ file:///evil",
        "evil @ git+https://example.com/evil",
        "https://example.com/evil-1.0.tar.gz",
        "-e ./evil",
        "--editable=./evil",
        "-r other.txt",
        "-c other.txt",
        "-i https://example.com",
        "--pre",
        "tinytool==1.2 --config-settings=x=y",
        "tinytool==1.2 --global-option=x",
        f"tinytool==1.2 {HASH} --no-binary",
        "tinytool==1.2 --hash=md5:00000000000000000000000000000000",
        "tinytool>=1.0",
        "tinytool==1.*",
        "tinytool===1.2",
        "tinytool==1.0,==1.2",
        "tinytool",
        "tinytool==1.2 \\\n-r other.txt",
        "${HOME}==1.0",
        "tinytool==1.2; extra_ == 'x'",
        "evil-1.0-py3-none-any.whl",
    ],
)
def test_any_other_line_is_refused(line: str, tmp_path: Path) -> None:
    lock = write(tmp_path, f"tinytool==1.2\n{line}\n")
    with pytest.raises(RequestError, match=r"lock\.txt:2") as caught:
        read_lock(lock, TINY)
    assert "name==1.2.3" in str(caught.value)


def test_the_error_shows_no_password(tmp_path: Path) -> None:
    lock = write(tmp_path, "evil @ https://user:PLANTED@example.com/e.whl?token=PLANTED\n")
    with pytest.raises(RequestError) as caught:
        read_lock(lock, TINY)
    assert "PLANTED" not in str(caught.value)


def test_a_lock_without_the_tool_is_refused_and_nothing_is_changed(tmp_path: Path, own_tools: Path) -> None:
    for text, found in (("harmless==1.0\n", "no version of it"), ("tinytool==0.9\n", "0.9")):
        with pytest.raises(RequestError, match=f"(?s)tinytool>=1.0.*{found}"):
            environments.install(TINY, lock=write(tmp_path, text))
    assert not own_tools.exists()


def test_a_list_of_conda_names_packages_of_conda_forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = "https://conda.anaconda.org/conda-forge/noarch/tinytool-1.2-py_0.conda#0123"
    assert read_conda_lock(write(tmp_path, f"# c\n@EXPLICIT\n{good}\n")).lines == ("@EXPLICIT", good)
    for bad in (
        "https://evil.example/conda-forge/noarch/tinytool-1.2-py_0.conda",
        "http://conda.anaconda.org/conda-forge/noarch/tinytool-1.2-py_0.conda",
        "https://conda.anaconda.org/evil/noarch/tinytool-1.2-py_0.conda",
        "https://conda.anaconda.org@evil.example/conda-forge/noarch/tinytool-1.2-py_0.conda",
        "file:///tmp/tinytool-1.2-py_0.conda",
        "/tmp/tinytool-1.2-py_0.conda",
        "--override-channels",
    ):
        with pytest.raises(RequestError, match=r"lock\.txt:2"):
            read_conda_lock(write(tmp_path, f"@EXPLICIT\n{bad}\n"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    lock = write(tmp_path, "@EXPLICIT\nhttps://mirror.example/tinytool-1.2-py_0.conda\n")
    from nwbpipe.environments._install import _read_lock

    trust(lock)
    assert _read_lock(TINY, EnvironmentKind.CONDA, lock).lines[0] == "@EXPLICIT"


# Surroundings of installers and tools -------------------------------------------------------------------------


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "1", "GITHUB_TOKEN": "2", "DANDI_API_KEY": "3", "PGPASSWORD": "4", "SSH_AUTH_SOCK": "5",
    "SLURM_JWT": "6", "XDG_SESSION_COOKIE": "7", "MY_OWN": "8", "CUDA_API_KEY": "9",
}  # fmt: skip


def test_children_get_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, f"PLANTED{value}")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    for variables in (select_variables(), build_installer_variables()):
        assert not [name for name, value in variables.items() if "PLANTED" in value]
        assert variables["OMP_NUM_THREADS"] == "2"
        assert variables["PATH"] == os.environ["PATH"]
    monkeypatch.setenv("NWBPIPE_PASS", "MY_OWN, GITHUB_*")
    assert {name for name in select_variables() if name in SECRETS} == {"MY_OWN", "GITHUB_TOKEN"}


def test_uv_gets_the_users_settings_and_none_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_NO_CONFIG")
    monkeypatch.setattr(_installers, "user_config_path", lambda *_, **__: tmp_path / "config")
    (tmp_path / "uv.toml").write_text("offline = true\n")
    monkeypatch.chdir(tmp_path)
    variables = build_installer_variables()
    assert variables.get("UV_CONFIG_FILE") != str(tmp_path / "uv.toml")
    assert "UV_CONFIG_FILE" in variables or variables["UV_NO_CONFIG"] == "1"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "uv.toml").write_text("")
    assert build_installer_variables()["UV_CONFIG_FILE"] == str(tmp_path / "config" / "uv.toml")


def test_no_index_is_an_option_of_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _installers.list_index_options() == []
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert _installers.list_index_options() == ["--no-index"]
