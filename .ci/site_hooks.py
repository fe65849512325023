"""Hooks of the site (mkdocs.yml): the Python reference, pages that no section lists, marks for the tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

_FENCE = re.compile(r"^```(\w+) (?:runnable|file=\S+)", re.MULTILINE)
_OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./examples/[^)]*\)")
_REFERENCE = "reference.md"
_SECTION = """::: nwbpipe.{home}.{name}
    options:
      heading: nwbpipe.{name}
      toc_label: {name}"""


def on_config(config: Any) -> Any:
    """Add pages that no section of mkdocs.yml names, and the design notes, to the navigation."""
    docs = Path(config.docs_dir)
    listed = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    more = sorted(page.name for page in docs.glob("*.md") if page.name not in listed)
    notes = sorted(page.relative_to(docs).as_posix() for page in (docs / "design").glob("*.md"))
    config.nav += [*([{"More": more}] if more else []), {"Design": notes}]
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add the reference: a section for each public name of nwbpipe, from its docstring."""
    source = Path(config.docs_dir).parent / "src" / "nwbpipe" / "__init__.py"
    homes: dict[str, str] = next(
        ast.literal_eval(node.value)
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES"
    )
    functions = sorted(name for name in homes if name.islower())
    classes = sorted(set(homes) - set(functions), key=lambda name: (name.endswith("Error"), name))
    parts = ["# Python reference", "All of these are attributes of `nwbpipe`; what begins with `_` is private."]
    for title, names in (("Functions", functions), ("Classes and errors", classes)):
        parts += [f"## {title}", *(_SECTION.format(home=homes[name], name=name) for name in names)]
    files.append(File.generated(config, _REFERENCE, content="\n\n".join(parts) + "\n"))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Drop the marks of blocks that the tests run; what lies in the repository alone is no link."""
    return _OUTSIDE.sub(r"\1 (the folder `examples/` of the repository)", _FENCE.sub(r"```\1", markdown))
