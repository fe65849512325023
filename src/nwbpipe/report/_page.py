"""The page: its template, and writing it."""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from nwbpipe import __version__
from nwbpipe.disk import create_file, explain_full_disk, find_full_disk, open_regular, remove_file
from nwbpipe.errors import FileAccessError, NwbpipeError, OverwriteError, show_text

if TYPE_CHECKING:
    from jinja2 import Environment

_STATE = re.compile(rb'<meta name="generator" content="nwbpipe report" data-state="([0-9a-f]*)">')


@cache
def load_environment(package: str) -> Environment:
    """Return the templates of a package; what they show is text, unless it is markup of ours."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = resources.files(package) / "templates"
    return Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_show,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _show(value: Any) -> Any:
    """Return a value as it may stand in a page; markup of ours stays."""
    return value if isinstance(value, Markup) else show_text(value)


def render_page(template: str, *, state: str = "", **values: Any) -> str:
    """Return a page from a template; every value is text, unless it is markup of ours.

    Parameters
    ----------
    template : str
        Name of the template.
    state : str
        Hexadecimal digest of what the page shows, for `read_state`.
    **values
        What the template names.
    """
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    environment = load_environment("nwbpipe.report")
    return environment.get_template(template).render(state=state, version=__version__, date=date, **values)


def write_page(path: Path, text: str) -> Path:
    """Write a page as a whole or not at all, and return its path; only a page of ours is written over.

    Raises
    ------
    OverwriteError
        If something else has the name.
    FileAccessError
        If it can't be written.
    """
    if os.path.lexists(path) and read_state(path) is None:
        raise OverwriteError(
            "the file is not a report of nwbpipe", where=str(path), hint="give another name: -o OUT.html"
        )
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    with explain_full_disk(path.parent):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(create_file(part, mode=0o666), "w", encoding="utf-8") as file:
                file.write(text)
            part.replace(path)
        except OSError as error:
            if find_full_disk(error) is not None:
                raise
            raise FileAccessError("the report can't be written", where=str(path), found=str(error)) from error
        finally:
            remove_file(part)
    return path


def read_state(path: Path) -> str | None:
    """Return the state that was given to `render_page`; None if the file is not a page of ours."""
    try:
        with open_regular(path, follow=False) as file:
            match = _STATE.search(file.read(2000))
    except (OSError, NwbpipeError):
        return None
    return None if match is None else match[1].decode("ascii")
