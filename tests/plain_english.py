"""Count departures from plain English in source code: participles, vague names, riddles and odd messages.

Run it on folders, to see the counts and every place: ``python tests/plain_english.py src/nwbpipe src/nwbpipe_kit``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


def _split(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


# Past participles that don't end in -ed, without those that are verbs as they stand (put, run, set, read, …).
_PARTICIPLES = _split(
    "begun bound broken brought built caught chosen done drawn driven fallen found given gone grown held hidden kept",
    "known laid left lost made meant met paid said seen sent shown sold sought spent spoken stolen taken taught",
    "thought thrown told understood woken worn written",
)
# Verbs and nouns that end in -ed.
_NO_PARTICIPLES = _split(
    "bed bleed breed embed exceed feed fed led need proceed red seed shed speed succeed weed",
)
# Pronouns, adverbs and participles that don't name a thing.
_VAGUE = _split(
    "after again all_ already also any_ been before both done each else_ every given gone had has here how kept",
    "known left made meant mine one ones other others ours own place places rest said seen shown so some stuff such",
    "taken that theirs them then there these they thing things this those told wanted what when where which who",
    "whole why found held it",
)
# Words that begin a riddle: a docstring names a thing, or begins with a verb.
_RIDDLES = _split(
    "How If What When Where Whether Which Who Why",
)

# Phrases of messages that are no English: "the source is no mapping", "the table has not the columns".
_ODD_PHRASES = re.compile(
    r"(?<!there )\b(?:is|are|was|were) (?:no|none)\b(?! longer| more than| larger| smaller| less)"
    r"|(?<!there )\bhas? not the\b|\bhave not the\b|\bsays not\b|\bnames no\b"
    r"|\bcan't be (?:had|told)\b|\bwhat is named\b|\bmend\b|\bnot described right\b|\b(?:is|are) not there\b"
)


@dataclass
class Places:
    """The number of definitions, and the places of those that are not plain English."""

    total: int = 0
    places: list[str] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """Share of the places in the total."""
        return 100 * len(self.places) / max(1, self.total)


@dataclass
class Report:
    """Counts of a folder, by kind, and exceptions that no place needs."""

    participles: Places = field(default_factory=Places)
    vague_names: Places = field(default_factory=Places)
    riddles: Places = field(default_factory=Places)
    odd_messages: Places = field(default_factory=Places)
    unused_exceptions: set[str] = field(default_factory=set)

    def kinds(self) -> dict[str, Places]:
        """Return the counts by the name of their kind."""
        return {
            "participles": self.participles,
            "vague names": self.vague_names,
            "riddles": self.riddles,
            "odd messages": self.odd_messages,
        }


def is_participle(name: str) -> bool:
    """Return True if a function's name begins with a past participle."""
    word = name.strip("_").partition("_")[0]
    return word in _PARTICIPLES or (len(word) > 3 and word.endswith("ed") and word not in _NO_PARTICIPLES)


def is_riddle(docstring: str) -> bool:
    """Return True if a docstring begins with a question word."""
    return docstring.partition(" ")[0].rstrip(",") in _RIDDLES


def is_odd_message(text: str) -> bool:
    """Return True if a text has a phrase that is no English."""
    return _ODD_PHRASES.search(text) is not None


def _iter_texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and value of each text in a tree, except docstrings."""
    for node in ast.walk(tree):
        docstring = None
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstring = node.value
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Constant) and isinstance(child.value, str) and child is not docstring:
                yield child.lineno, child.value


def iter_definitions(tree: ast.AST, scope: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Yield all nodes of a tree, each with the dotted name of the function or class that it defines or is in."""
    for node in ast.iter_child_nodes(tree):
        name = scope
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{scope}.{node.name}".lstrip(".")
        yield node, name
        yield from iter_definitions(node, name)


def count_file(path: Path, report: Report, exceptions: frozenset[str] = frozenset(), file: str = "") -> None:
    """Add the counts of a file to a report.

    Parameters
    ----------
    path : Path
    report : Report
    exceptions : frozenset of str
        Names that are meant, as ``file.py:Class.name``.
    file : str
        Name of the file in places and exceptions.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node, scope in [(tree, ""), *iter_definitions(tree)]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _count(report.participles, is_participle(node.name), file, node.lineno, scope, exceptions, report)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            docstring = ast.get_docstring(node)
            if docstring:
                line = getattr(node, "lineno", 1)
                _count(report.riddles, is_riddle(docstring), file, line, scope, exceptions, report)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = f"{scope}.{node.id}".lstrip(".")
            is_vague = node.id.strip("_") in _VAGUE
            _count(report.vague_names, is_vague, file, node.lineno, name, exceptions, report)
    for line, text in _iter_texts(tree):
        _count(report.odd_messages, is_odd_message(text), file, line, text, exceptions, report)


def _count(
    places: Places, is_bad: bool, file: str, line: int, name: str, exceptions: frozenset[str], report: Report
) -> None:
    places.total += 1
    if is_bad and f"{file}:{name}" in exceptions:
        report.unused_exceptions.discard(f"{file}:{name}")
    elif is_bad:
        places.places.append(f"{file}:{line} {name}")


def count_folders(*folders: Path, exceptions: frozenset[str] = frozenset()) -> Report:
    """Return the counts of all Python files below folders; names of files are relative to nwbpipe."""
    report = Report(unused_exceptions=set(exceptions))
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder.parent).as_posix().removeprefix("nwbpipe/")
            count_file(path, report, exceptions, name)
    return report


def count_by_room(places: Places) -> Counter[str]:
    """Return the number of places by the first folder, or file, of their path."""
    return Counter(place.partition(":")[0].partition("/")[0].removesuffix(".py") for place in places.places)


if __name__ == "__main__":
    counts = count_folders(*map(Path, sys.argv[1:]))
    for kind, places in counts.kinds().items():
        print(*places.places, sep="\n")
        print(f"{kind}: {len(places.places)} of {places.total}, {places.percent:.2f} %")
