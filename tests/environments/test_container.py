"""Containers, with stand-ins for the programs that run them.

The stand-in for docker runs the command itself, on this machine: paths are the same inside as outside.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import EnvironmentKind, Program, Tool, ToolEnvironment, _container
from nwbpipe.environments._container import Container, sweep_containers
from nwbpipe.environments._engine import find_engine
from nwbpipe.errors import (
    ToolCrashedError,
    ToolFailedError,
    ToolKilledError,
    ToolMemoryError,
    ToolMissingError,
)

NUMPY = Tool("numpy", ("numpy>=1.20", "h5py>=3.8"), python=">=3.9,<3.14", system=("libgl1", "ffmpeg"))
IN_CONDA = Tool("numpy", ("numpy>=1.20",), python=">=3.10,<3.12", conda=("numpy>=1.20,<3",))


def installed(tmp_path: Path) -> ToolEnvironment:
    environments.install(NUMPY, kind=EnvironmentKind.CONTAINER)
    return environments.find(NUMPY)


def after(words: list[str], option: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == option]


def test_a_run_sees_its_folders_no_network_and_its_limits(
    docker: Callable[..., Path], calls: Callable, tmp_path: Path
) -> None:
    docker()
    found = installed(tmp_path)
    assert (found.kind, str(found.python)) == (EnvironmentKind.CONTAINER, "python")
    scratch, data, model = (tmp_path / name for name in ("scratch", "data", "model"))
    for folder in (scratch, data, model):
        folder.mkdir()
    movie = {"file": str(data / "session.nwb"), "external_files": []}
    request = {"threads": 2, "inputs": {"movie": movie, "model": {"folder": str(model)}}}
    outcome = environments.run(
        found, "tests.fixtures._environment_compute", request, scratch=scratch, log=tmp_path / "log"
    )
    assert outcome.summary["variables"]["OMP_NUM_THREADS"] == "2"
    assert outcome.summary["variables"]["OMP_WAIT_POLICY"] == "PASSIVE"
    assert outcome.summary["variables"]["HOME"] == str(scratch)
    run = [words for words in calls("docker") if words[0] == "run"][-1]
    assert after(run, "--network") == ["none"]
    assert after(run, "--cpus") == ["2"]
    assert after(run, "--pull") == ["never"]
    assert after(run, "--cap-drop") == ["all"]
    assert after(run, "--security-opt") == ["no-new-privileges"]
    assert after(run, "--label")[0] == "nwbpipe.run"
    assert int(after(run, "--shm-size")[0]) > 64 * 2**20
    assert "USER=nwbpipe" in after(run, "--env")
    assert "sha256:0123" in run  # the image that was built, whatever has its tag now
    mounts = after(run, "--mount")
    assert {f"type=bind,source={path},target={path},readonly" for path in (data, model)} <= set(mounts)
    assert [mount for mount in mounts if "readonly" not in mount] == [f"type=bind,source={scratch},target={scratch}"]
    assert found.container is not None
    identity = {"image": "sha256:0123", "base": f"sha256:{'ab' * 32}"}
    assert found.container.describe() == {"engine": "docker 20.10.24", **identity}
    name = after(run, "--name")[0]
    assert calls("docker")[-2:] == [["inspect", "--format", "{{.State.OOMKilled}}", name], ["rm", "--force", name]]


@pytest.mark.parametrize(
    ("end", "memory", "error"),
    [("SIGSEGV", "false", ToolCrashedError), ("SIGKILL", "true", ToolMemoryError)],
)
def test_its_endings_are_told_apart(
    docker: Callable[..., Path], tmp_path: Path, end: str, memory: str, error: type[Exception]
) -> None:
    docker(memory=memory)
    found = installed(tmp_path)
    with pytest.raises(error):
        environments.run(
            found, "tests.fixtures._environment_compute", {"end": end}, scratch=tmp_path, log=tmp_path / "log"
        )


@pytest.mark.parametrize(("commands", "found"), [(("no_such", "sh"), "sh"), (("no_such",), None)])
def test_programs_are_looked_for_inside(
    docker: Callable[..., Path], tmp_path: Path, commands: tuple[str, ...], found: str | None
) -> None:
    docker()
    tool = replace(NUMPY, programs=(Program("a shell", commands),))
    environments.install(tool, kind=EnvironmentKind.CONTAINER)
    environment = environments.find(tool)  # none of them is on this machine's PATH, which holds docker alone

    def run() -> environments.ComputeResult:
        return environments.run(
            environment, "tests.fixtures._environment_compute", {}, scratch=tmp_path, log=tmp_path / "log"
        )

    if found is None:
        with pytest.raises(ToolFailedError, match="the container lacks a shell"):
            run()
    else:
        assert Path(run().summary["tool"]["programs"]["a shell"]).name == found


@pytest.mark.parametrize(
    ("name", "version", "uid", "words", "lacking"),
    [
        ("podman", "podman version 4.3.1", 1000, ["--userns", "keep-id"], "--user"),
        ("podman", "podman version 4.3.1", 0, ["--user", f"0:{os.getgid()}"], "--userns"),
        ("docker", "podman version 4.3.1", 1000, ["--userns", "keep-id"], "--user"),  # the package podman-docker
        ("docker", "Docker version 28.2", 1000, ["--user", f"1000:{os.getgid()}"], "--userns"),
    ],
)
def test_the_user_s_id_is_kept_by_each_engine_s_own_way(
    docker: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str, version: str, uid: int, words: list[str],
    lacking: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(os, "getuid", lambda: uid)
    command = Container(docker(name, version=version), "image").build_command(["python"], name="one")
    assert after(command, words[0]) == [words[1]]
    assert lacking not in command
    assert command[-2:] == ["image", "python"]
    assert ("DAC_OVERRIDE" in command) == (uid == 0)


@pytest.mark.parametrize(
    ("version", "words"),
    [("podman version 4.3.1", ["--device", "nvidia.com/gpu=all"]), ("Docker version 20.10", ["--gpus", "all"])],
)
def test_gpus_are_for_runs_that_use_them_alone(docker: Callable[..., Path], version: str, words: list[str]) -> None:
    container = Container(docker(version=version), "image", gpu=True)
    assert words[0] not in container.build_command(["python"], name="one")  # a probe
    assert after(container.build_command(["python"], name="one", gpu=True), words[0]) == [words[1]]
    assert words[0] not in Container(container.engine, "image").build_command(["python"], name="one", gpu=True)


def test_a_run_that_is_given_no_gpu_sees_none(docker: Callable[..., Path], calls: Callable, tmp_path: Path) -> None:
    engine = docker()
    found = replace(installed(tmp_path), container=Container(engine, "image", gpu=True))
    for number, devices in enumerate(("0", "")):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        compute = "tests.fixtures._environment_compute"
        environments.run(found, compute, {}, scratch=scratch, log=tmp_path / "log", devices=devices)
    runs = [words for words in calls("docker") if words[0] == "run"][-2:]
    assert [after(words, "--gpus") for words in runs] == [["all"], []]


@pytest.mark.parametrize(("version", "count"), [("podman version 4.3.1", 1), ("Docker version 28.2", 0)])
def test_podman_reads_the_user_s_files_under_selinux(
    docker: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, count: int
) -> None:
    container = Container(docker(version=version), "image")
    for selinux, expected in ((tmp_path, count), (tmp_path / "none", 0)):
        monkeypatch.setattr(_container, "_SELINUX", selinux)
        options = after(container.build_command(["python"], name="one"), "--security-opt")
        assert options.count("label=disable") == expected


def test_any_path_can_be_mounted_and_no_more_cores_asked_for_than_there_are(docker: Callable[..., Path]) -> None:
    folder = Path('/data/2024-05-01 10:30, the "first"')
    command = Container(docker(), "image").build_command(["python"], name="one", readable=[folder], threads=10_000)
    (mount,) = after(command, "--mount")
    assert next(csv.reader([mount])) == ["type=bind", f"source={folder}", f"target={folder}", "readonly"]
    assert after(command, "--cpus") == [str(os.cpu_count())]


@pytest.mark.parametrize(
    ("version", "traits", "limit"),
    [
        ("podman version 4.3.1", "8 [cpuset cpu io memory pids]", ["8"]),
        ("podman version 4.3.1", "8 [memory pids]", []),  # a user without control of cores: refused with --cpus
        ("podman version 4.3.1", "8 []", []),
        ("Docker version 27.1", "2 true [name=seccomp,profile=builtin]", ["2"]),  # a virtual machine with fewer cores
        ("Docker version 27.1", "8 false []", []),  # a kernel without CFS quotas
    ],
)
def test_cores_are_limited_where_the_engine_can(
    docker: Callable[..., Path], version: str, traits: str, limit: list[str]
) -> None:
    command = Container(docker(version=version, traits=traits), "image").build_command(
        ["python"], name="one", threads=20
    )
    assert after(command, "--cpus") == limit


def test_root_is_the_user_in_a_docker_of_the_user_s_own(
    docker: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other id inside is one that may not write the user's folders."""
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    engine = docker(traits="4 true [name=seccomp,profile=builtin name=rootless name=cgroupns]")
    command = Container(engine, "image").build_command(["python"], name="one")
    assert after(command, "--user") == ["0:0"]
    assert "DAC_OVERRIDE" not in command


def test_the_engine_that_answers_is_taken(
    docker: Callable[..., Path], programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of docker without its daemon hides no podman; the user may name one."""
    programs("docker", "print('Cannot connect to the Docker daemon', file=sys.stderr)\nsys.exit(1)")
    podman = docker("podman", version="podman version 4.3.1")
    assert find_engine() == podman
    monkeypatch.setenv("NWBPIPE_CONTAINER_ENGINE", "docker")
    with pytest.raises(ToolMissingError, match="none that answers") as caught:
        find_engine()
    assert "Cannot connect to the Docker daemon" in str(caught.value)
    monkeypatch.setenv("NWBPIPE_CONTAINER_ENGINE", "nowhere")
    with pytest.raises(ToolMissingError, match="nowhere: not found"):
        find_engine()


def test_what_an_engine_refuses_is_told_in_its_words_and_tried_again(
    docker: Callable[..., Path], programs: Callable[[str, str], Path], tmp_path: Path
) -> None:
    docker()
    found = installed(tmp_path)
    programs("docker", "print('Error: no such image', file=sys.stderr)\nsys.exit(125)")
    with pytest.raises(ToolMissingError, match="the container engine refuses") as missing:
        environments.find(NUMPY)
    assert "Error: no such image" in str(missing.value)
    with pytest.raises(ToolKilledError, match="the container engine did not run numpy") as killed:
        environments.run(found, "tests.fixtures._environment_compute", {}, scratch=tmp_path, log=tmp_path / "log")
    assert "Error: no such image" in str(killed.value)


def test_containers_that_a_kill_left_are_swept_by_their_label(docker: Callable[..., Path], calls: Callable) -> None:
    sweep_containers(docker())
    assert calls("docker")[-1] == [
        "container", "prune", "--force", "--filter", "label=nwbpipe.run", "--filter", "until=24h"
    ]  # fmt: skip


def test_apptainer_has_a_recipe_and_binds_of_its_own(programs: Callable, calls: Callable) -> None:
    programs("apptainer", "")
    folder = environments.install(NUMPY, kind=EnvironmentKind.CONTAINER)
    image = str(folder / "image.sif")
    assert [words for words in calls("apptainer") if words[0] == "build"] == [
        ["build", image, str(folder / "nwbpipe.def")]
    ]
    recipe = (folder / "nwbpipe.def").read_text()
    assert recipe.startswith("Bootstrap: docker\nFrom: python:3.")
    assert "libgl1" in recipe
    command = Container(Path("/bin/apptainer"), image).build_command(
        ["python"], name="one", readable=[Path("/data")], writable=[Path("/scratch")], folder=Path("/scratch")
    )
    assert after(command, "--bind") == ["/data:/data:ro", "/scratch:/scratch:rw"]
    assert "--mount" not in command
    folder = Path('/data/2024-05-01 10:30, the "first"')
    command = Container(Path("/bin/apptainer"), image).build_command(
        ["python"], name="one", readable=[folder], writable=[Path("/a:b")]
    )
    mount, scratch = sorted(after(command, "--mount"))
    assert next(csv.reader([mount])) == ["type=bind", f"source={folder}", f"destination={folder}", "ro"]
    assert scratch == "type=bind,source=/a:b,destination=/a:b"
    assert "--bind" not in command
    assert "--containall" in command


def test_without_an_engine_it_is_said(programs: Callable, own_tools: Path) -> None:
    with pytest.raises(ToolMissingError, match="no program that runs containers"):
        environments.install(NUMPY, kind=EnvironmentKind.CONTAINER)
    assert not own_tools.exists()
