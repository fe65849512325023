"""Tools in real containers compute what they compute without; nothing of the user's is removed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest

import nwbpipe
from nwbpipe import environments
from nwbpipe.environments import EnvironmentKind, _container
from nwbpipe.environments._container import LABEL, sweep_containers
from nwbpipe.errors import ToolCrashedError, ToolFailedError, ToolKilledError, ToolMemoryError
from nwbpipe.project.plan._tools import ToolFacts, explain_staleness
from nwbpipe.run import process
from tests.fixtures.containers import BASE, FOLDER, WHEELS_INSIDE, Engine
from tests.fixtures.processing import Scale
from tests.fixtures.programs import wait_for
from tests.fixtures.s3 import Bucket

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]
NUMPY = Scale.tool


class Distant(Scale):
    """Read a series in its process, in a forked and in a spawned one."""

    compute: ClassVar[str] = "tests.fixtures._distant_compute"


@pytest.fixture(scope="session")
def tools(container_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tools with numpy in a container, installed out of local wheels, without a network."""
    folder = tmp_path_factory.mktemp("tools")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in container_engine.variables.items():
            patch.setenv(name, value)
        patch.setenv("NWBPIPE_TOOLS", str(folder))
        use_wheels(container_engine, patch)
        environments.install(NUMPY, kind=EnvironmentKind.CONTAINER, base=BASE)
    return folder


def use_wheels(engine: Engine, patch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "UV_CONSTRAINT", "PIP_CONSTRAINT"):
        patch.delenv(name, raising=False)
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("PIP_NO_INDEX", "1")
    # Docker 20.10 without buildx can't show a build a folder of this machine.
    patch.setenv("PIP_FIND_LINKS", str(FOLDER / "wheels") if engine.name == "podman" else WHEELS_INSIDE)


@pytest.fixture
def installed(engine: Engine, tools: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine, with a container of numpy that every test uses."""
    monkeypatch.setenv("NWBPIPE_TOOLS", str(tools))
    use_wheels(engine, monkeypatch)
    return engine


def containers(engine: Engine) -> set[str]:
    return set(engine.call("ps", "--all", "--quiet", "--no-trunc").split())


def test_results_are_those_without_a_container(
    installed: Engine, session_nwb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here.nwb"
    here.write_bytes(session_nwb.read_bytes())
    odd = tmp_path / '2024-05-01 10:30, "first" ☃'
    odd.mkdir()
    file = odd / "s.nwb"
    file.write_bytes(session_nwb.read_bytes())
    inside = process(file, Scale()).record
    assert inside.resources["container"] == environments.find(NUMPY).container.describe()  # type: ignore[union-attr]
    assert inside.resources["container"]["engine"].startswith(installed.name)
    assert inside.resources["container"]["base"].startswith("sha256:")
    assert containers(installed) == set()
    monkeypatch.setenv("NWBPIPE_TOOLS", str(tmp_path / "none"))
    outside = process(here, Scale()).record
    assert inside.key == outside.key
    with h5py.File(file) as first, h5py.File(here) as second:
        path = "processing/behavior/Scaled_scale/data"
        assert np.array_equal(first[path], second[path])


def test_a_session_in_s3_is_read_in_a_container_without_a_network(
    installed: Engine, bucket: Bucket, session_nwb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / ("a long name of scratch " * 6)  # no address of a socket is that long
    monkeypatch.setenv("NWBPIPE_SCRATCH", str(scratch))
    url = bucket.put(session_nwb)
    run = process(url, Distant())
    assert run.computed
    with nwbpipe.read(url) as nwbfile:
        expected = nwbfile.acquisition["lever"].data[:]
        assert np.array_equal(nwbfile.processing["behavior"]["Scaled_scale"].data[:], expected[:100])


@pytest.mark.parametrize(
    ("ending", "error"), [("segfault", ToolCrashedError), ("killed", ToolKilledError), ("raise", ToolFailedError)]
)
def test_each_end_is_told_and_leaves_no_container(
    installed: Engine, session_nwb: Path, ending: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        process(session_nwb, Scale(), params={"ending": ending})
    assert containers(installed) == set()


def test_a_run_that_needs_more_memory_than_its_limit_is_told_as_that(installed: Engine, session_nwb: Path) -> None:
    with environments.limit_memory(0.2), pytest.raises(ToolMemoryError, match=r"its container may use 0\.2 GB"):
        process(session_nwb, Scale(), params={"ending": "greedy"})
    assert containers(installed) == set()
    with environments.limit_memory(0.2):
        assert process(session_nwb, Scale()).computed


def test_a_container_of_an_earlier_attempt_is_ended(installed: Engine, tmp_path: Path) -> None:
    environment = environments.find(NUMPY)
    assert environment.container is not None
    for name, folder in (("nwbpipe-earlier", tmp_path), ("nwbpipe-of-another-run", tmp_path / "other")):
        words = ["python", "-c", "import time; time.sleep(600)"]
        command = environment.container.build_command(words, name=name, work=folder)
        command.remove("--interactive")
        installed.call(command[1], "--detach", *command[2:])
    environments.end_earlier_container(environment, tmp_path)
    (left,) = json.loads(installed.call("inspect", *containers(installed)))
    assert left["Name"].strip("/") == "nwbpipe-of-another-run"
    installed.call("rm", "--force", "nwbpipe-of-another-run")


def test_a_failed_installation_keeps_the_environment_that_works(
    installed: Engine, session_nwb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = environments.find(NUMPY).container
    with pytest.raises(ToolFailedError, match="installing the tool 'numpy' failed"):
        environments.install(NUMPY, kind=EnvironmentKind.CONTAINER, base="localhost/no-such-image:1")
    assert environments.find(NUMPY).container == before
    assert process(session_nwb, Scale()).computed


def test_another_image_is_another_environment_and_the_user_s_images_stay(
    installed: Engine, session_nwb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = process(session_nwb, Scale()).record
    shared = environments.find(NUMPY).container
    assert shared is not None
    # The same tool of the same version, built by another recipe into another folder of tools.
    monkeypatch.setenv("NWBPIPE_TOOLS", str(tmp_path / "other"))
    monkeypatch.setenv("UV_CONSTRAINT", str(tmp_path / "constraints.txt"))
    (tmp_path / "constraints.txt").write_text("numpy>=1\n")
    environments.install(NUMPY, kind=EnvironmentKind.CONTAINER, base=BASE)
    other = environments.find(NUMPY).container
    assert other is not None
    assert other.image != shared.image
    facts = ToolFacts(record.compute_digest, environments.find(NUMPY).version, image=other.image)
    assert "image" in explain_staleness(record, facts, "exact")
    assert explain_staleness(record, facts, "minor") == ""
    installed.call("tag", other.image, "localhost/of-the-user:1")
    installed.call("create", "--name", "theirs", "localhost/of-the-user:1", "true")
    assert environments.remove(NUMPY)
    assert installed.call("image", "inspect", "--format", "{{.Id}}", "localhost/of-the-user:1")
    assert len(containers(installed)) == 1
    installed.call("rm", "theirs")
    monkeypatch.setenv("NWBPIPE_TOOLS", str(tmp_path / "again"))
    monkeypatch.delenv("UV_CONSTRAINT")
    environments.install(NUMPY, kind=EnvironmentKind.CONTAINER, base=BASE)  # perhaps the very image of all
    environments.remove(NUMPY)
    assert installed.call("image", "inspect", "--format", "{{.Id}}", shared.image)


def test_what_a_kill_leaves_is_swept_and_nothing_else(
    installed: Engine, session_nwb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = environments.find(NUMPY).container.image  # type: ignore[union-attr]
    installed.call("create", "--name", "of-the-user", image, "true")
    code = (
        "import sys; from nwbpipe.run import process; from tests.fixtures.processing import Scale\n"
        "process(sys.argv[1], Scale(), params={'ending': 'hang'})"
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(session_nwb)])

    def running() -> list[str]:
        return installed.call("ps", "--quiet", "--filter", "name=nwbpipe-numpy", "--filter", "status=running").split()

    wait_for(lambda: bool(running()), "the container to run")
    time.sleep(2)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    wait_for(lambda: not running(), "the computation to end with its parent")
    left = installed.call("ps", "--all", "--quiet", "--filter", f"label={LABEL}").split()
    assert len(left) == 1
    sweep_containers(installed.program)
    assert len(containers(installed)) == 2  # it is of today: somebody may look at it
    monkeypatch.setattr(_container, "_ABANDONED", "0s")
    time.sleep(1)
    sweep_containers(installed.program)
    described = json.loads(installed.call("inspect", *containers(installed)))
    assert [container["Name"].strip("/") for container in described] == ["of-the-user"]
    installed.call("rm", "of-the-user")
