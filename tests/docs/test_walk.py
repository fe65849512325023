"""The walk of the page on pose, from labels to one table: as a project, and with the tools themselves."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nwbpipe.project import Project
from tests.docs import forked
from tests.docs.test_docs import DOCS, Block, blocks, commands, matches

PAGE = DOCS / "how-do-i-track-pose.md"


class Walk:
    """The blocks of the walk, and the folder that they are run in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blocks = [block for block in blocks(PAGE) if "walk" in block.words]
        for block in blocks(PAGE):
            if block.file and block.file.startswith("walk/"):
                (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.file).write_text(block.text, encoding="utf-8")

    def run(self, block: Block) -> int:
        """Run a block; return the number of its commands."""
        if block.language == "python":
            (self.folder / "block.py").write_text(block.text, encoding="utf-8")
            self._call([sys.executable, "block.py"], "…", block)
            return 0
        listed = list(commands(block))
        for command, shown in listed:
            self._call(shlex.split(command), shown, block)
        return len(listed)

    def _call(self, words: list[str], shown: str, block: Block) -> None:
        code, printed = forked.run(words, self.folder, {**os.environ, "COLUMNS": "200"}, 1500)
        print(printed)
        where = f"{PAGE.name}:{block.line}: {words}"
        assert code == 0, f"{where} ended with {code}:\n{printed}"
        assert matches(shown, printed), f"{where} is said to print\n{shown}\nand prints\n{printed}"


def test_its_files_are_a_project(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    walk.run(walk.blocks[0])
    status = Project(tmp_path / "walk").status()
    assert status.problems == []
    assert [plan.session for plan in status.plans] == ["project/models", "M042/box-1", "M042/box-2"]
    assert [state.step for state in status.plans[1].steps] == ["convert", "pose", "show", "moves", "rows"]
    assert {state.reason for state in status.plans[1].steps[1:]} <= {"after model", "after convert", "after pose"}


@pytest.mark.tool
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_pose_from_labels_to_one_table(tmp_path: Path, tool: Callable[[str], object]) -> None:
    tool("deeplabcut")
    tool("kinematics")
    walk = Walk(tmp_path)
    assert sum(map(walk.run, walk.blocks)) == 5
