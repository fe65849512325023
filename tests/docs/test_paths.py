"""The files and folders that a page names are in the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "nwbpipe"
ROOMS = "|".join(path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("_"))
# A folder (ends in /), a file, or a module without its suffix (_name).
NAMED = re.compile(
    rf"`((?:src/nwbpipe|tests|docs|{ROOMS})/(?:[a-z0-9_./]*(?:/|\.[a-z]+)|(?:[a-z0-9_]+/)*_[a-z0-9_]+)?)`"
)
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_paths_are_found_in_pages() -> None:
    assert sum(len(NAMED.findall(page.read_text(encoding="utf-8"))) for page in PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_paths_that_a_page_names_exist(page: Path) -> None:
    named = set(NAMED.findall(page.read_text(encoding="utf-8")))
    paths = {path: [ROOT / path, PACKAGE / path, PACKAGE / f"{path}.py"] for path in sorted(named)}
    assert [path for path, candidates in paths.items() if not any(file.exists() for file in candidates)] == []
