"""The source code that computes a processor's results, and earlier code that computes the same."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

from nwbpipe.environments import KIT, find_source
from nwbpipe.processors._base import Processor
from nwbpipe.provenance import digest

#: For each of our processors the digest of its code, and those of earlier code that computes the same.
SAME_SOURCE = "same_source.json"


def hash_compute_code(method: Processor) -> str:
    """Return the digest of the compute module and of what it imports from beside itself and from the kit."""
    return digest(b"\0".join(path.read_bytes() for path in list_compute_files(method)))


def computes_same(processor: str, recorded: str, current: str) -> bool:
    """Return True if the code with the digest `recorded` computes the same as the current code.

    Parameters
    ----------
    processor : str
        Name of the processor.
    recorded, current : str
        Digests of `hash_compute_code`: of the code that made a result, and of today's.
    """
    if recorded == current:
        return True
    entry = _load_same_source().get(processor)
    return entry is not None and entry["current"] == current and recorded in entry["earlier"]


@cache
def _load_same_source() -> dict[str, dict[str, str | list[str]]]:
    entries: dict[str, dict[str, str | list[str]]] = json.loads(
        (files("nwbpipe.processors") / SAME_SOURCE).read_text(encoding="utf-8")
    )
    return entries


def list_compute_files(method: Processor) -> list[Path]:
    """Return the compute module's file and those that it imports, directly or not, in the order of the imports."""
    paths = [find_source(module) for module in (method.compute, *method.compute_parts)]
    for path in paths:  # grows while we go through it
        paths += [imported for imported in _find_imported_files(path) if imported not in paths]
    return paths


def _find_imported_files(path: Path) -> Iterator[Path]:
    for folder, name in _parse_imports(path.read_bytes()):
        candidate = (find_source(KIT) if folder == KIT else path).with_name(f"{name}.py")
        if candidate.is_file():
            yield candidate


@lru_cache(maxsize=256)
def _parse_imports(source: bytes) -> tuple[tuple[str, str], ...]:
    """Return the modules that a source file imports from beside itself ("") or from the kit."""
    imports: dict[tuple[str, str], None] = {}  # an ordered set
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = node.module or ""
            parent = f"{package}." if package else ""
            modules = [
                f"{'.' * node.level}{name}" for name in (package, *(parent + a.name for a in node.names)) if name
            ]
        else:
            continue
        for module in modules:
            package, _, name = module.partition(".")
            if package in ("", KIT) and name:
                imports[package, name.partition(".")[0]] = None
    return tuple(imports)
