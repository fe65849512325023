"""The walk of the page on pose, from labels to one table, with DeepLabCut and movement themselves."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs import forked
from tests.docs.test_docs import DOCS, blocks, commands, matches


@pytest.mark.tool
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_pose_from_labels_to_one_table(tmp_path: Path, tool: Callable[[str], object]) -> None:
    tool("deeplabcut")
    tool("kinematics")
    page = DOCS / "how-do-i-track-pose.md"
    environment = {**os.environ, "COLUMNS": "200"}

    def run(words: list[str], shown: str, line: int) -> None:
        code, printed = forked.run(words, tmp_path, environment, 1500)
        print(printed)
        assert code == 0, f"{page.name}:{line}: {words} ended with {code}:\n{printed}"
        assert matches(shown, printed), (
            f"{page.name}:{line}: {words} is said to print\n{shown}\nand prints\n{printed}"
        )

    ran = 0
    for block in blocks(page):
        if block.file and block.file.startswith("walk/"):
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif "walk" in block.words and block.language == "console":
            for command, shown in commands(block):
                run(shlex.split(command), shown, block.line)
                ran += 1
        elif "walk" in block.words:
            (tmp_path / "block.py").write_text(block.text, encoding="utf-8")
            run([sys.executable, "block.py"], "…", block.line)
    assert ran == 5
