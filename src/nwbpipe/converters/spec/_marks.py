"""Marks of a proposed spec: values that a person has to fill in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nwbpipe.converters.spec._yaml import SpecDocument
from nwbpipe.validation import Key

#: A value that ends with it is not filled in yet: `nwbpipe new` writes it, and explains it in a comment beside it.
FILL_IN = "FILL IN"


def check_marks(document: SpecDocument) -> None:
    """Name each unfilled mark of a spec with its line, in the place of what else is said of its value."""
    marks = list(_find_marks(document.tree))
    places = {": ".join(part for part in document.locate(key) if part) for key in marks}
    document.problems[:] = [problem for problem in document.problems if problem.where not in places]
    for key in marks:
        name = next(part for part in reversed(key) if isinstance(part, str))
        document.add(
            f"{name!r} is not filled in yet",
            *key,
            expected="a value in the place of the mark",
            found=FILL_IN,
            hint="the comment in that line says what belongs there; a key that may be left out can be removed",
        )


def _find_marks(value: Any, key: tuple[Key, ...] = ()) -> Iterator[tuple[Key, ...]]:
    if isinstance(value, str) and (value == FILL_IN or value.endswith(f" {FILL_IN}")):
        yield key
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _find_marks(item, (*key, str(name)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _find_marks(item, (*key, index))
