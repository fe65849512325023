"""Write a proposal as YAML with comments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nwbpipe.proposals._candidate import Mark, Noted

_WIDTH = 110
# A text that YAML reads back as it is, without quotes; every scalar of a spec is text.
_PLAIN = re.compile(r"[A-Za-z0-9_./~+(*-][^\n:#'\"{}\[\],&*!|>%@`]*(://[^\n:#'\"{}\[\],&*!|>%@`]+)?|-?[\d.]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.+-]+Z?( FILL IN)?")

Display = Callable[[Path], str]


def render_mapping(mapping: Mapping[str, Any], display: Display, indent: int = 0) -> Iterator[str]:
    """Yield the lines of a mapping in block style.

    Parameters
    ----------
    mapping : mapping
        Its values are scalars, paths, lists and mappings; `Mark` and `Noted` bring a comment.
    display : callable
        Writes a path as the spec does.
    indent : int
    """
    space = " " * indent
    for name, item in mapping.items():
        value, comment = _part_comment(item)
        ending = f"   # {clean(comment)}" if comment else ""
        key = render_scalar(str(name))
        if isinstance(value, Mapping):
            flow = _render_flow(value, display) if _is_flat(value) else ""
            if flow and len(space) + len(key) + len(flow) < _WIDTH:
                yield f"{space}{key}: {flow}{ending}"
            else:
                yield f"{space}{key}:{ending}"
                yield from render_mapping(value, display, indent + 2)
        elif isinstance(value, list):
            flow = _render_flow(value, display)
            if len(space) + len(key) + len(flow) < _WIDTH:
                yield f"{space}{key}: {flow}{ending}"
            else:
                yield f"{space}{key}:{ending}"
                yield from (f"{space}  - {render_scalar(part, display)}" for part in value)
        else:
            yield f"{space}{key}: {render_scalar(value, display)}{ending}"


def _part_comment(item: Any) -> tuple[Any, str]:
    """Return a value and the comment beside it."""
    if isinstance(item, Mark):
        return str(item), item.hint
    return (item.value, item.comment) if isinstance(item, Noted) else (item, "")


def render_comment(lines: Iterable[str], indent: int = 0) -> Iterator[str]:
    """Yield lines of comment, wrapped."""
    import textwrap

    for line in lines:
        for number, part in enumerate(textwrap.wrap(clean(line), _WIDTH - indent - 2) or [""]):
            yield f"{' ' * indent}# {'  ' if number else ''}{part}".rstrip()


def render_scalar(value: Any, display: Display = str) -> str:
    """Return a value as a YAML scalar: plain where that is safe, else in quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = display(value) if isinstance(value, Path) else str(value)
    if text and text == text.strip() and (_PLAIN.fullmatch(text) or _DATE.fullmatch(text)) and text.isprintable():
        return text if text not in ("~", "null", "-") and not text.startswith(("- ", "*")) else quote(text)
    return quote(text)


def quote(text: str) -> str:
    """Return a text in double quotes, as YAML and TOML read it; their escapes, unlike JSON's, know no pairs."""
    parts = (f"\\{c}" if c in '"\\' else c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(parts)}"'


def clean(text: str) -> str:
    """Return a text on one line, without characters that can't be shown."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _is_flat(value: Mapping[str, Any]) -> bool:
    return not any(isinstance(item, Mapping | Mark | Noted) for item in value.values())


def _render_flow(value: Any, display: Display) -> str:
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{render_scalar(str(key))}: {_render_flow(item, display)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_render_flow(item, display) for item in value) + "]"
    return render_scalar(value, display)
