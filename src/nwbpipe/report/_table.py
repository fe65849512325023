"""Tables of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from nwbpipe.errors import show_text

_CELL, _NUMBER = Markup("<td>{}</td>"), Markup('<td class="number">{}</td>')


def draw_table(names: Sequence[str], rows: Iterable[Sequence[Any]], classes: Sequence[str] = ()) -> Markup:
    """Return rows of values as an HTML table; `classes` are those of the rows."""
    head = Markup("").join(Markup("<th>{}</th>").format(show_text(name)) for name in names)
    body = []
    for index, row in enumerate(rows):
        cells = Markup("").join(
            (_NUMBER if _is_number(value) else _CELL).format(
                value if isinstance(value, Markup) else format_value(value)
            )
            for value in row
        )
        kind = Markup(' class="{}"').format(classes[index]) if classes and classes[index] else Markup("")
        body.append(Markup("<tr{}>{}</tr>").format(kind, cells))
    # a table that scrolls is reached by the keyboard
    table = Markup('<div class="wide" tabindex="0"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>')
    return table.format(head, Markup("").join(body))


def format_value(value: Any) -> str:
    """Return a value as short text: four digits of a number, nothing for what is missing."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, int | np.integer):
        return str(int(value))
    text = show_text(value)
    return text if len(text) <= 400 else text[:399] + "…"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
