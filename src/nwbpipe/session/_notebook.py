"""Show an open session file in a notebook: short, and every text of the file as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from nwbpipe.errors import show_text

if TYPE_CHECKING:
    from pynwb import NWBFile

_MOST_OBJECTS = 60
_LONGEST_TEXT = 200
_TABLES = ("trials", "units", "electrodes")


def render_html(nwbfile: NWBFile) -> str:
    """Return a session's key, subject and objects as a table of HTML.

    pynwb's own representation is long, and puts texts of the file into the page as they are: a script in a
    description would run in the notebook.
    """
    subject = nwbfile.subject
    facts = {
        "session": nwbfile.session_id,
        "subject": getattr(subject, "subject_id", None),
        "species": getattr(subject, "species", None),
        "start": nwbfile.session_start_time,
        "description": nwbfile.session_description,
    }
    rows = [(name, _clean(value)) for name, value in facts.items() if value is not None]
    objects = list(_list_objects(nwbfile))
    rows += [(_clean(path), _clean(text)) for path, text in objects[:_MOST_OBJECTS]]
    if len(objects) > _MOST_OBJECTS:
        rows.append(("…", f"{len(objects) - _MOST_OBJECTS} more"))
    cells = "".join(
        f'<tr><th style="text-align:left">{name}</th><td style="text-align:left">{text}</td></tr>'
        for name, text in rows
    )
    return f"<table>{cells}</table>"


def _clean(value: Any) -> str:
    text = show_text(value)
    return escape(text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…")


def _list_objects(nwbfile: NWBFile) -> Iterator[tuple[str, str]]:
    """Yield the path of each object that a person reads, and its type and shape."""
    groups: dict[str, Mapping[str, Any]] = {"acquisition": nwbfile.acquisition}
    groups |= {f"processing/{name}": module.data_interfaces for name, module in nwbfile.processing.items()}
    for group, objects in groups.items():
        for name, item in objects.items():
            yield f"{group}/{name}", _describe(item)
    for name in _TABLES:
        table = getattr(nwbfile, name)
        if table is not None:
            yield name, _describe(table)


def _describe(item: Any) -> str:
    kind = type(item).__name__
    shape = getattr(getattr(item, "data", None), "shape", None)
    if isinstance(shape, tuple):
        return f"{kind}, {' × '.join(map(str, shape))}"
    columns = getattr(item, "colnames", None)
    if columns is not None:
        return f"{kind}, {len(item)} rows: {', '.join(map(str, columns))}"
    names = [child.name for child in getattr(item, "children", ())]
    return f"{kind}: {', '.join(names)}" if names else kind
