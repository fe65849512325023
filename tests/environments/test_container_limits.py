"""Memory of containers, and containers of earlier attempts, with a stand-in for docker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import EnvironmentKind, Tool, ToolEnvironment, _run
from nwbpipe.environments._container import Container
from nwbpipe.errors import ToolKilledError, ToolMemoryError
from tests.environments.test_container import after

NUMPY = Tool("numpy", ("numpy>=1.20", "h5py>=3.8"), python=">=3.9,<3.14")
COMPUTE = "tests.fixtures._environment_compute"


def installed() -> ToolEnvironment:
    environments.install(NUMPY, kind=EnvironmentKind.CONTAINER)
    return environments.find(NUMPY)


@pytest.mark.parametrize(
    ("version", "traits", "is_limited"),
    [
        ("Docker version 27.1", "2 true true [name=seccomp,profile=builtin]", True),
        ("Docker version 27.1", "2 true false []", False),  # a kernel without limits of memory
        ("podman version 4.3.1", "8 [cpu memory pids]", True),
        ("podman version 4.3.1", "8 [pids]", False),  # a user without control of memory: refused with --memory
        ("Docker version 20.10", "", True),
    ],
)
def test_memory_of_the_step_is_the_container_s_limit_where_the_engine_can(
    docker: Callable[..., Path], version: str, traits: str, is_limited: bool
) -> None:
    container = Container(docker(version=version, traits=traits), "image")
    command = container.build_command(["python"], name="a", memory=2_000_000_000)
    limit = ["2000000000"] if is_limited else []
    assert (after(command, "--memory"), after(command, "--memory-swap")) == (limit, limit)
    assert "--memory" not in container.build_command(["python"], name="a")


@pytest.mark.parametrize(
    ("memory_gb", "kills", "error", "text"),
    [
        (0.5, 1, ToolMemoryError, r"its container may use 0\.5 GB, the step's resources\.memory_gb"),
        (0.5, 0, ToolKilledError, r"it may need more than the 0\.5 GB of its container"),
        (0.0, 1, ToolKilledError, "a person, a scheduler or the system killed it: run it again$"),
    ],
)
def test_an_end_for_memory_that_the_engine_does_not_tell(
    docker: Callable[..., Path], calls: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    memory_gb: float, kills: int, error: type[Exception], text: str,
) -> None:  # fmt: skip
    """Podman with control groups of version 1 says "killed"; the kernel counts what it kills for memory."""
    docker(version="podman version 4.3.1", traits="8 [cpu memory]")
    found = installed()
    counts = iter((4, 4 + kills))
    monkeypatch.setattr(_run, "count_machine_memory_kills", lambda: next(counts))
    with environments.limit_memory(memory_gb), pytest.raises(error, match=text):
        environments.run(found, COMPUTE, {"end": "SIGKILL"}, scratch=tmp_path, log=tmp_path / "log")
    run = [words for words in calls("docker") if words[0] == "run"][-1]
    assert after(run, "--memory") == (["500000000"] if memory_gb else [])


def test_a_container_of_an_earlier_attempt_is_ended_before_another_one_computes(
    docker: Callable[..., Path], calls: Callable, tmp_path: Path
) -> None:
    """A daemon that died and came back: its container computed on in the folder of the run."""
    docker(earlier="0123abcd")
    found = installed()
    before = len(calls("docker"))
    environments.end_earlier_container(found, tmp_path)
    environments.run(found, COMPUTE, {}, scratch=tmp_path, log=tmp_path / "log")
    asked, removed, run = [words for words in calls("docker")[before:] if words[0] in ("ps", "rm", "run")][:3]
    assert asked[:4] == ["ps", "--all", "--quiet", "--no-trunc"]
    (label,) = after(asked, "--filter")
    assert removed == ["rm", "--force", "0123abcd"]
    assert f"label={after(run, '--label')[1]}" == label
    assert str(tmp_path) not in label


def test_no_second_container_computes_beside_one_that_can_t_be_ended(
    docker: Callable[..., Path], tmp_path: Path
) -> None:
    docker(earlier="0123abcd", stays="device or resource busy")
    with pytest.raises(ToolKilledError, match="may still compute in this run's folder") as caught:
        environments.end_earlier_container(installed(), tmp_path)
    assert "device or resource busy" in str(caught.value)


def test_each_probe_has_a_name_of_its_own(docker: Callable[..., Path], calls: Callable) -> None:
    """Also of one process, and of two containers whose processes have one number."""
    docker()
    installed()
    environments.find(NUMPY)
    names = [name for words in calls("docker") if words[0] == "run" for name in after(words, "--name")]
    assert len(names) == len(set(names)) > 1
    assert all(name.startswith("nwbpipe-probe-") for name in names)


def test_the_doctor_leaves_the_engine_its_home_and_gives_the_tool_another(
    docker: Callable[..., Path], calls: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman of a user keeps its images in that user's home."""
    engine = docker()
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    installed()
    text = engine.read_text()
    seen = tmp_path / "homes"
    line = f"with open({str(seen)!r}, 'a') as file: file.write(os.environ.get('HOME', '') + '\\n')\n"
    engine.write_text(text.replace("words = sys.argv[1:]\n", "words = sys.argv[1:]\n" + line))
    findings = environments.examine([NUMPY])
    assert "numpy is imported in" in findings[1].text
    assert set(seen.read_text().split()) == {str(home)}
    check = [words for words in calls("docker") if words[0] == "run"][-1]
    (inside,) = [value for value in after(check, "--env") if value.startswith("HOME=")]
    assert inside != f"HOME={home}"


@pytest.fixture(autouse=True)
def clear_sweep() -> Iterator[None]:
    """Let a test's first run sweep, whatever engine of that path another test had."""
    _run._sweep_once.cache_clear()
    yield
    _run._sweep_once.cache_clear()
