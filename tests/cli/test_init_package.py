"""``nwbpipe init --package``: what is generated passes its tests. ``make wheel`` installs it and runs them all."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nwbpipe.cli import main
from nwbpipe.processors import Processor


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    main_of("init", "--package", "our_lab")
    return tmp_path / "our_lab"


def main_of(*words: str) -> None:
    with pytest.raises(SystemExit) as ending:
        main(list(words))
    assert ending.value.code in (0, None)


def test_its_tests_pass(package: Path) -> None:
    without = [word for name in ("cacheprovider", "dandi", "dandischema", "anyio") for word in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *without, "tests/test_rms.py"]
    paths = os.pathsep.join(["src", os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, cwd=package, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_its_entry_points_lead_to_what_it_holds(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package / "src"))
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "our-lab"
    groups = project["entry-points"]
    (made,) = (EntryPoint(name, value, "").load() for name, value in groups["nwbpipe.processors"].items())
    assert issubclass(made, Processor)
    assert made.name in groups["nwbpipe.processors"]
    (reader,) = (EntryPoint(name, value, "").load() for name, value in groups["nwbpipe.interfaces"].items())
    assert reader.__name__ in groups["nwbpipe.interfaces"]
    named = "".join(
        path.read_text(encoding="utf-8") for path in package.rglob("*") if path.suffix in {".py", ".toml", ".md"}
    )
    assert "lab_rms" not in named
    assert "lab_encoder" not in named


def test_nothing_of_the_users_is_replaced(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (package / "README.md").write_text("ours", encoding="utf-8")
    with pytest.raises(SystemExit) as ending:
        main(["init", "--package", "our_lab"])
    assert ending.value.code == 2
    assert "not empty" in capsys.readouterr().err
    assert (package / "README.md").read_text(encoding="utf-8") == "ours"


@pytest.mark.parametrize("name", ["our-lab", "../lab", "Lab", "1lab", "lab_", "class", "nwbpipe"])
def test_a_name_that_is_none_of_python(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ending:
        main(["init", "--package", name])
    assert ending.value.code == 2
    assert name in capsys.readouterr().err
