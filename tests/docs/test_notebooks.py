"""The notebooks in docs/ run: each cell in order, and what a cell ends with can be shown."""

from __future__ import annotations

import ast
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import nwbpipe
from tests.report.pages import write_rich_session

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "docs").glob("*.ipynb"))


def run_notebook(path: Path) -> list[Any]:
    """Run the cells as Jupyter does, without its packages; return what they show."""
    shown: list[Any] = []
    names: dict[str, Any] = {"__name__": "__main__", "display": shown.append}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == [], "the outputs are not kept: they get old"
        source = "".join(cell["source"])
        tree = ast.parse(source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, str(path), "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), str(path), "eval"), names)
            if not source.rstrip().endswith(";"):
                shown.append(value)
    return shown


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NWBPIPE_CACHE", str(tmp_path / "cache"))
    shown = run_notebook(path)
    assert all(repr(value) for value in shown)
    texts = [value._repr_html_() for value in shown if hasattr(value, "_repr_html_")]
    assert len([text for text in texts if "TwoPhotonSeries" in text]) == 2  # the session, and the answer to the query
    assert any(str(value) == "notebook.html" for value in shown)


class Text(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.data = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.data += f"{data}\n"


def test_a_session_in_a_notebook_is_short_and_its_texts_are_texts(tmp_path: Path) -> None:
    with nwbpipe.read(write_rich_session(tmp_path / "rich.nwb")) as nwbfile:
        html = nwbfile._repr_html_()
    assert len(html) < 5000
    page = Text(html)
    assert page.tags == {"table", "tr", "th", "td"}
    lines = page.data.splitlines()
    assert "m&1" in lines
    assert lines[lines.index("acquisition/movie") + 1] == "TwoPhotonSeries, 5 × 40 × 24"
    assert lines[lines.index("units") + 1].startswith("Units, 3 rows: isi_violations")
    assert any(line.startswith("<script>alert(1)</script>?[31m\\u202e") for line in lines)
