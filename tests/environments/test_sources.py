"""Tools that come from a checkout, need a program or a file of weights, or whose Python is configured."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nwbpipe import environments
from nwbpipe.environments import Checkout, EnvironmentKind, Program, Tool, ToolSettings, Weights
from nwbpipe.errors import ToolMissingError

REPOSITORY = "https://example.org/tinytool"
BUILT = Tool(
    "tinytool", ("tinytool>=1.0,<2", "numpy"), checkout=Checkout(REPOSITORY, "tinytool.py", ("VERSION", r"^(\S+)"))
)
USED = Tool(
    "script",
    ("numpy>=1.20",),
    checkout=Checkout(REPOSITORY, "main.m", ("main.m", r"version = '([\d.]+)'"), built=False),
)
WEIGHTS = Tool("numpy", ("numpy>=1.20",), weights=(Weights("model.pt", "https://example.org/model", "poses"),))


def write_wheel_source() -> str:
    """The few lines that write a wheel, without what they would import."""
    import inspect

    from tests.environments.conftest import write_wheel

    return "import pathlib, zipfile\nfrom pathlib import Path\n" + inspect.getsource(write_wheel)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "VERSION").write_text("1.5\n")
    (folder / "tinytool.py").write_text("")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "tinytool"\nversion = "1.5"\n'
    )
    (folder / "backend.py").write_text(
        write_wheel_source() + "\n\ndef build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    write_wheel(pathlib.Path(folder), '1.5')\n    return 'tinytool-1.5-py3-none-any.whl'\n"
    )
    return folder


def test_a_package_is_built_from_the_checkout_and_never_looked_up(
    checkout: Path, wheels: Path, named: Callable
) -> None:
    tool = replace(BUILT, requirements=("tinytool>=1.0,<2",))
    with pytest.raises(ToolMissingError, match=r"no checkout of the tool .* is set"):
        environments.install(tool)  # though the wheels hold a tinytool 1.2: that one may be another
    named(NWBPIPE_TOOL_TINYTOOL_CHECKOUT=checkout)
    environments.install(tool)
    assert environments.find(tool).version == "1.5"
    assert tool.from_index == ()
    lock = environments.lock_tool(tool)
    assert [line for line in lock.read_text().splitlines() if not line.startswith("#")] == []


def test_a_checkout_of_another_version_is_refused(checkout: Path, named: Callable, own_tools: Path) -> None:
    named(NWBPIPE_TOOL_TINYTOOL_CHECKOUT=checkout)
    (checkout / "VERSION").write_text("2.0\n")
    with pytest.raises(ToolMissingError, match=r"(?s)another version.*<2,>=1.0.*2\.0"):
        environments.install(BUILT)
    assert not own_tools.exists()


def test_a_container_is_not_made_of_what_is_on_no_index(checkout: Path, named: Callable) -> None:
    named(NWBPIPE_TOOL_TINYTOOL_CHECKOUT=checkout)
    with pytest.raises(ToolMissingError, match="no package index has"):
        environments.install(BUILT, kind=EnvironmentKind.CONTAINER)


def test_a_checkout_that_is_used_as_it_is_has_the_version_of_its_content(tmp_path: Path, named: Callable) -> None:
    with pytest.raises(ToolMissingError, match=rf"(?s)git clone {REPOSITORY}.*NWBPIPE_TOOL_SCRIPT_CHECKOUT"):
        environments.find(USED)
    named(NWBPIPE_TOOL_SCRIPT_CHECKOUT=tmp_path)
    with pytest.raises(ToolMissingError, match=r"is not a checkout of(?s:.*)a folder with main\.m"):
        environments.find(USED)
    (tmp_path / "main.m").write_text("info.version = '1.3.0';\n")
    first = environments.find(USED)
    assert first.checkout == tmp_path
    assert first.version.startswith("1.3.0+")
    (tmp_path / "part.m").write_text("x = 1;\n")
    assert environments.find(USED).version != first.version
    (tmp_path / "part.m").unlink()
    assert environments.find(USED).version == first.version


def test_a_checkout_without_a_version_is_refused(tmp_path: Path, named: Callable) -> None:
    named(NWBPIPE_TOOL_SCRIPT_CHECKOUT=tmp_path)
    (tmp_path / "main.m").write_text("x = 1;\n")
    with pytest.raises(ToolMissingError, match="does not state its version"):
        environments.find(USED)


def test_a_run_is_told_where_its_things_are(tmp_path: Path, named: Callable) -> None:
    (tmp_path / "main.m").write_text("info.version = '1.3.0';\n")
    named(NWBPIPE_TOOL_SCRIPT_CHECKOUT=tmp_path, NWBPIPE_TOOL_SCRIPT_WEIGHTS=tmp_path / "weights")
    tool = replace(USED, programs=(Program("a shell", ("no_such_shell", "sh")),))
    outcome = environments.run(
        environments.find(tool), "tests.fixtures._environment_compute", {}, scratch=tmp_path, log=tmp_path / "log"
    )
    told = outcome.summary["tool"]
    assert told["checkout"] == str(tmp_path)
    assert told["weights"] == str(tmp_path / "weights")
    assert Path(told["programs"]["a shell"]).name == "sh"


def test_a_program_that_is_missing_is_named_with_its_package() -> None:
    tool = Tool("numpy", ("numpy",), programs=(Program("GNU Octave", ("no_such_octave",)),), system=("octave",))
    with pytest.raises(
        ToolMissingError, match=r"(?s)GNU Octave \(no_such_octave on the PATH\).*apt-get install octave"
    ):
        environments.find(tool)


def test_a_missing_file_of_weights_is_named_with_its_source_and_place(tmp_path: Path, named: Callable) -> None:
    named(NWBPIPE_TOOL_NUMPY_WEIGHTS=tmp_path)
    place = tmp_path / "model.pt"
    with pytest.raises(ToolMissingError) as caught:
        environments.find(WEIGHTS)
    problem = caught.value.problem
    assert problem.where == str(place)
    assert "model.pt, for poses" in str(problem.expected)
    assert "https://example.org/model" in str(problem.hint)
    place.write_bytes(b"1")
    assert environments.find(WEIGHTS).weights == tmp_path


def test_weights_that_only_some_parameters_need_are_asked_for_by_them(own_tools: Path) -> None:
    tool = replace(WEIGHTS, weights=(Weights("model.pt", "https://example.org/model", "poses", required=False),))
    assert environments.find(tool).weights == own_tools / "weights" / "numpy"
    with pytest.raises(ToolMissingError, match=r"model\.pt"):
        environments.find(tool.requiring("model.pt"))


@pytest.fixture
def configured() -> object:
    yield
    environments.configure("numpy", None)


def test_a_python_that_is_configured_is_taken_and_a_variable_comes_before_it(
    configured: object, named: Callable
) -> None:
    tool = Tool("numpy", ("numpy>=1.20",))
    environments.configure("numpy", ToolSettings(python=Path("/nonexistent/python")))
    with pytest.raises(ToolMissingError, match="/nonexistent/python"):
        environments.find(tool)
    in_use = {"numpy": ToolSettings(python=Path("/in/use/python"))}
    with environments.use_settings(in_use), pytest.raises(ToolMissingError, match="/in/use/python"):
        environments.find(tool)
    with pytest.raises(ToolMissingError, match="/nonexistent/python"):
        environments.find(tool)
    named(NWBPIPE_TOOL_NUMPY_PYTHON=sys.executable)
    assert environments.find(tool).kind is EnvironmentKind.EXISTING
