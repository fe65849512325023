"""The pages of the documentation: those of the package, or in a checkout those of its docs folder."""

from __future__ import annotations

import re
from pathlib import Path

_BLOCK = re.compile(r"^```python file=(\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def find_pages() -> list[Path]:
    """Return the pages, sorted."""
    installed = Path(__file__).parent / "pages"
    folder = installed if installed.is_dir() else Path(__file__).parents[3] / "docs"
    return sorted(page for page in folder.glob("*.md") if page.stem != "index")


def read_title(page: Path) -> str:
    """Return the title of a page."""
    with page.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()


def read_modules(name: str) -> dict[str, str]:
    """Return the Python files that a page shows as a whole, by name."""
    (page,) = (page for page in find_pages() if page.stem == name)
    return dict(_BLOCK.findall(page.read_text(encoding="utf-8")))
