"""The demo of pose: a network that it trains, held to the truth; and what it says where a tool is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nwbpipe import environments
from nwbpipe.cli import main
from nwbpipe.demo import run_pose_demo
from nwbpipe.demo._pose import _find_lag
from nwbpipe.environments import Tool, ToolEnvironment
from nwbpipe.errors import OverwriteError, ToolMissingError


def test_a_missing_tool_is_named_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_none(tool: Tool) -> ToolEnvironment:
        raise ToolMissingError(f"the tool {tool.name} is not installed")

    monkeypatch.setattr(environments, "find", find_none)
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--pose", str(tmp_path / "demo")])
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "nwbpipe tools install deeplabcut movement av" in told
    assert not (tmp_path / "demo").exists()


def test_two_demos_and_a_seed_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--project"], ["--seed", "3"]):
        with pytest.raises(SystemExit) as ended:
            main(["demo", "--pose", *words, str(tmp_path / "demo")])
        assert ended.value.code == 2
    assert "two demos were asked for" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_the_lag_is_that_of_the_peak_and_its_sign_that_of_the_later_series() -> None:
    signal = np.convolve(np.random.default_rng(0).normal(size=300), np.ones(5), "same")
    late = np.roll(signal, 3)
    late[:20] = np.nan
    assert _find_lag(signal, late) == 3
    assert _find_lag(late, signal) == -3
    assert _find_lag(signal, signal + 1) == 0


@pytest.mark.tool
@pytest.mark.slow
@pytest.mark.long
def test_the_pose_is_held_to_the_truth_and_not_trained_again(
    tmp_path: Path, tool: Callable[[str], ToolEnvironment]
) -> None:
    tool("deeplabcut")
    tool("kinematics")
    lines: list[str] = []
    report = run_pose_demo(tmp_path, say=lines.append)
    assert report.passed, report.format_table()
    (run,) = (tmp_path / "models" / "model").glob("*/*.json")
    assert json.loads(run.read_text())["resources"]["cpu_seconds"] < 180
    again = run_pose_demo(tmp_path, say=lines.append)
    assert again.passed
    assert again.rows[-1].note.startswith("0 in this call")
    (tmp_path / "nwbpipe.toml").write_text(
        (tmp_path / "nwbpipe.toml").read_text().replace("nwbpipe-demo-pose", "mine")
    )
    with pytest.raises(OverwriteError, match="another project"):
        run_pose_demo(tmp_path, say=lines.append)
