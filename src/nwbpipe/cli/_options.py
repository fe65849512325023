"""Options that verbs share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

ProjectFile = Annotated[
    Path | None,
    typer.Option("--project", metavar="FILE", help="The nwbpipe.toml.  [default: the nearest one upwards]"),
]
Profile = Annotated[
    str | None, typer.Option(envvar="NWBPIPE_PROFILE", help="Whose stores are meant: [profiles.NAME.stores].")
]
Sessions = Annotated[
    list[str] | None,
    typer.Option("--session", "-s", metavar="KEY", help="Only these: subject/session, or a pattern (M042/*)."),
]
Where = Annotated[
    str | None, typer.Option(metavar="SQL", help="Only sessions of which this is true: \"sex = 'F' and lab = 'X'\".")
]


def split_pair(text: str, option: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not of the form NAME=VALUE", param_hint=option)
    return name, value


def parse_parameter(text: str, option: str) -> tuple[str, Any]:
    """Read ``KEY=VALUE``: the value as JSON where it is JSON, else as text."""
    name, value = split_pair(text, option)
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
