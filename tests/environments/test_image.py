"""Images of tools, with a stand-in for the engine that builds them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import EnvironmentKind, Tool
from nwbpipe.errors import RequestError, ToolMissingError

NUMPY = Tool("numpy", ("numpy>=1.20", "h5py>=3.8"), python=">=3.9,<3.14", system=("libgl1", "ffmpeg"))
IN_IMAGE = Tool("sorter", ("numpy>=1.20",), image="lab/sorter-base")
IN_CONDA = Tool("numpy", ("numpy>=1.20",), python=">=3.10,<3.12", conda=("numpy>=1.20,<3",))


def after(words: list[str], option: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == option]


def test_a_dockerfile_is_by_pip_or_by_conda() -> None:
    assert environments.render_dockerfile(NUMPY).splitlines()[1:] == [
        f"FROM python:3.{sys.version_info[1]}-slim",
        "RUN apt-get update && apt-get install --yes --no-install-recommends ffmpeg libgl1 "
        "&& rm -rf /var/lib/apt/lists/*",
        "COPY requirements.txt constraints.txt /nwbpipe/",
        "RUN --mount=type=secret,id=pip,target=/etc/pip.conf "
        "--mount=type=secret,id=certificates,target=/nwbpipe/certificates.pem pip install --no-cache-dir "
        "--requirement /nwbpipe/requirements.txt --constraint /nwbpipe/constraints.txt",
    ]
    text = environments.render_dockerfile(IN_CONDA)
    assert "FROM docker.io/mambaorg/micromamba:2" in text
    assert "--channel conda-forge 'python>=3.10,<3.12' 'numpy>=1.20,<3'" in text
    assert "pip install" not in text


def test_a_tool_with_an_image_comes_in_a_container_alone(docker: Callable[..., Path], calls: Callable) -> None:
    assert environments.render_dockerfile(IN_IMAGE).splitlines()[1:] == [
        "FROM lab/sorter-base",
        "USER root",
        "COPY requirements.txt constraints.txt /nwbpipe/",
        "RUN --mount=type=secret,id=pip,target=/etc/pip.conf "
        "--mount=type=secret,id=certificates,target=/nwbpipe/certificates.pem pip install --no-cache-dir "
        "--requirement /nwbpipe/requirements.txt --constraint /nwbpipe/constraints.txt",
        "ENTRYPOINT []",
    ]
    hint = r"nwbpipe tools install sorter \(a container, by docker, podman or apptainer\); or use a Python"
    with pytest.raises(ToolMissingError, match=hint):
        environments.find(IN_IMAGE)  # although the Python of this test has NumPy
    with pytest.raises(RequestError, match="comes in a container alone"):
        environments.install(IN_IMAGE, kind=EnvironmentKind.ISOLATED)
    docker()
    environments.install(IN_IMAGE)
    assert environments.find(IN_IMAGE).kind is EnvironmentKind.CONTAINER
    assert [words[0] for words in calls("docker")].count("build") == 1


def test_a_version_of_python_that_serves_is_taken() -> None:
    assert "FROM python:3.9-slim" in environments.render_dockerfile(Tool("old", ("old",), python=">=3.8,<3.10"))
    with pytest.raises(ToolMissingError, match="supports no known version of Python"):
        environments.render_dockerfile(Tool("old", ("old",), python="<3"))


def test_building_takes_constraints_along_and_pips_settings_as_a_secret(
    docker: Callable[..., Path], calls: Callable, own_tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker()
    (tmp_path / "constraints.txt").write_text("numpy<3\n")
    monkeypatch.setenv("UV_CONSTRAINT", str(tmp_path / "constraints.txt"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@example.org/index")
    folder = environments.install(NUMPY, kind=EnvironmentKind.CONTAINER)
    assert folder.parent == own_tools / "numpy"
    (words,) = [words for words in calls("docker") if words[0] == "build"]
    assert after(words, "--tag") == [f"nwbpipe-numpy:{folder.name}"]  # another folder's image has another name
    assert "--label" not in words  # the user's own containers of the image would get it
    assert words[-1] == str(folder)
    assert (folder / "requirements.txt").read_text() == "numpy>=1.20\nh5py>=3.8\n"
    assert (folder / "constraints.txt").read_text() == "numpy<3\n"
    assert "index-url = https://me:secret@example.org/index" in (tmp_path / "secret").read_text()
    kept = [path.read_text() for path in (own_tools / "numpy").rglob("*.*") if path.is_file()] + words
    assert not any("me:secret" in text for text in kept)


def test_building_reaches_local_packages_and_certificates_and_starts_from_any_image(
    docker: Callable[..., Path], calls: Callable, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker()
    (tmp_path / "ours.pem").write_text("a certificate")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "ours.pem"))
    monkeypatch.setenv("PIP_FIND_LINKS", f"{wheels} {wheels.as_uri()} https://example.org/wheels")
    folder = environments.install(NUMPY, kind=EnvironmentKind.CONTAINER, base="mirror.lab/python:3.11")
    (words,) = [words for words in calls("docker") if words[0] == "build"]
    assert after(words, "--build-context") == [f"packages0={wheels}", f"packages1={wheels}"]
    assert [word.partition(",")[0] for word in after(words, "--secret")] == ["id=pip", "id=certificates"]
    settings = (tmp_path / "secret").read_text()
    links = "/nwbpipe/packages/0 file:///nwbpipe/packages/1 https://example.org/wheels"
    assert f"find-links = {links}\nno-index = true\ncert = /nwbpipe/certificates.pem\n" in settings
    recipe = (folder / "Dockerfile").read_text()
    assert "FROM mirror.lab/python:3.11\n" in recipe
    assert "--mount=type=bind,from=packages1,target=/nwbpipe/packages/1 pip install" in recipe
    assert str(wheels) not in recipe
    with pytest.raises(RequestError, match="a base image is for a container"):
        environments.install(NUMPY, kind=EnvironmentKind.ISOLATED, base="mirror.lab/python:3.11")


def test_a_lock_decides_what_is_in_it(docker: Callable[..., Path], tmp_path: Path) -> None:
    docker()
    lock = tmp_path / "numpy.txt"
    lock.write_text("numpy==2.0.0\nh5py==3.11.0\n")
    folder = environments.install(NUMPY, kind=EnvironmentKind.CONTAINER, lock=lock)
    assert (folder / "requirements.txt").read_text() == "numpy==2.0.0\nh5py==3.11.0\n"


def test_removing_removes_the_image(docker: Callable[..., Path], calls: Callable, own_tools: Path) -> None:
    docker()
    older, folder = (environments.install(NUMPY, kind=EnvironmentKind.CONTAINER) for _ in range(2))
    assert calls("docker")[-1] == ["image", "rm", f"nwbpipe-numpy:{older.name}"]  # replaced
    assert environments.remove(NUMPY)
    assert calls("docker")[-1] == ["image", "rm", f"nwbpipe-numpy:{folder.name}"]  # by force, more would go
    assert not (own_tools / "numpy").exists()


@pytest.mark.parametrize(("tags", "goes"), [(["lab/numpy:1"], False), (["localhost/nwbpipe-numpy:older"], True)])
def test_an_image_that_has_lost_our_name_stays_if_the_user_named_it(
    docker: Callable[..., Path], programs: Callable[[str, str], Path], calls: Callable,
    caplog: pytest.LogCaptureFixture, tags: list[str], goes: bool,
) -> None:  # fmt: skip
    docker()
    environments.install(NUMPY, kind=EnvironmentKind.CONTAINER)
    has_id = f"sys.exit(1) if words[-1] != 'sha256:0123' else print({json.dumps(tags)!r})"
    programs("docker", f"if words[:2] == ['image', 'inspect']:\n    {has_id}")
    assert environments.remove(NUMPY)
    assert (["image", "rm", "sha256:0123"] in calls("docker")) is goes
    assert ("it is also lab/numpy:1" in caplog.text) is not goes


def test_an_engine_that_does_not_answer_holds_up_no_removal(
    docker: Callable[..., Path], programs: Callable[[str, str], Path], own_tools: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    docker()
    environments.install(NUMPY, kind=EnvironmentKind.CONTAINER)
    programs("docker", "print('Cannot connect to the Docker daemon', file=sys.stderr)\nsys.exit(1)")
    assert environments.remove(NUMPY)
    assert not (own_tools / "numpy").exists()
    assert "the image sha256:0123 stays: docker: Cannot connect" in caplog.text


@pytest.mark.parametrize(
    ("version", "buildx", "is_refused"),
    [
        ("Docker version 28.2.2", "docker: 'buildx' is not a docker command", True),
        ("Docker version 23.0.1", "", False),
        ("Docker version 20.10.24", "docker: 'buildx' is not a docker command", False),  # it has BuildKit itself
        ("podman version 4.3.1", "Error: unrecognized command", False),
    ],
)
def test_docker_without_buildx_is_refused_before_a_build(
    docker: Callable[..., Path], calls: Callable, own_tools: Path, version: str, buildx: str, is_refused: bool
) -> None:
    docker(version=version, buildx=buildx)
    if not is_refused:
        environments.install(NUMPY, kind=EnvironmentKind.CONTAINER)
        return
    with pytest.raises(ToolMissingError, match="its plugin buildx is missing") as caught:
        environments.install(NUMPY, kind=EnvironmentKind.CONTAINER)
    assert "docker-buildx-plugin" in str(caught.value)
    assert "is not a docker command" in str(caught.value)
    assert "build" not in [words[0] for words in calls("docker")]
    assert not (own_tools / "numpy").exists()
