"""Read the settings of a Python file (``params.py`` of Phy) without running it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from nwbpipe.errors import SourceError

_MAX_BYTES = 2**20


def read_literals(path: Path | str) -> dict[str, Any]:
    """Return the values that a Python file assigns to names; nothing of it is run.

    Parameters
    ----------
    path : path
        A file of lines such as ``n_channels_dat = 385``. Values are literals, or ``range(…)`` of integers.

    Returns
    -------
    dict
        Values by the name in small letters, as SpikeInterface's ``read_python`` gives them.

    Raises
    ------
    SourceError
        The file holds other statements, or is not Python.
    """
    path = Path(path)
    expected = "lines such as: sample_rate = 30000.0"
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise SourceError("the settings are too long", where=str(path), found=f"{size} bytes")
        tree = ast.parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        text = f"{type(error).__name__}: {error}"
        raise SourceError("the settings can't be read", where=str(path), expected=expected, found=text) from error
    values: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        if not isinstance(statement, ast.Assign) or not all(isinstance(name, ast.Name) for name in statement.targets):
            raise _code_error(path, statement)
        try:
            value = _evaluate(statement.value)
        except (ValueError, TypeError, RecursionError, MemoryError) as error:
            raise _code_error(path, statement) from error
        values |= {target.id.lower(): value for target in statement.targets if isinstance(target, ast.Name)}
    return values


def _evaluate(node: ast.expr) -> Any:
    is_range = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
    if is_range and isinstance(node, ast.Call) and not node.keywords:
        numbers = range(*map(ast.literal_eval, node.args))
        if len(numbers) > _MAX_BYTES:
            raise ValueError("the range is too long")
        return list(numbers)
    return ast.literal_eval(node)


def _code_error(path: Path, statement: ast.stmt) -> SourceError:
    text = " ".join(ast.unparse(statement).split())
    return SourceError(
        "the file of settings holds code; nothing of it was run",
        where=f"{path}:{statement.lineno}",
        expected="lines such as: sample_rate = 30000.0",
        found=text if len(text) < 80 else f"{text[:80]} …",
        hint="write the value itself in its place",
    )
