"""Reading YAML in which every scalar is text, with the place of every value kept.

YAML's own typing guesses: ``2024-05-01`` becomes a date, ``042`` the number 34 and ``N`` false. Here a scalar
stays the text that was written; what it means is decided by the schema that it is read with (`_values`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nwbpipe.errors import Problem, SpecError

MAX_BYTES = 4_000_000
MAX_NODES = 100_000
MAX_DEPTH = 60
MAX_FILES = 50


@dataclass(frozen=True)
class FilePosition:
    """The place of a value: a file and a line in it (1 is the first)."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


class YamlScalar(str):
    """A scalar as it was written; `plain` is False where it was quoted or a block."""

    __slots__ = ("mark", "plain")
    plain: bool
    mark: FilePosition | None

    def __new__(cls, value: str, plain: bool = True, mark: FilePosition | None = None) -> YamlScalar:
        """Make a text with its place."""
        text = super().__new__(cls, value)
        text.plain = plain
        text.mark = mark
        return text


class YamlMapping(dict[str, Any]):
    """A mapping that knows the place of itself and of each of its keys."""

    def __init__(self, mark: FilePosition | None = None) -> None:
        super().__init__()
        self.mark = mark
        self.marks: dict[str, FilePosition] = {}


@dataclass
class SpecDocument:
    """What a spec and the files that it extends hold together.

    Parameters
    ----------
    tree : Tree
        The merged mapping.
    problems : list of Problem
        What was wrong with the writing of the files.
    files : list of Path
        The files that were read, the spec's own last.
    """

    tree: YamlMapping
    problems: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


class _NodeReader:
    """Turns the nodes of one file into trees, lists and texts."""

    def __init__(self, file: Path, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        self.count = 0
        self.loader = yaml.SafeLoader("")

    def add_problem(self, what: str, node: yaml.Node, **kwargs: str) -> None:
        self.problems.append(Problem(what, where=str(self._position_of(node)), **kwargs))

    def _position_of(self, node: yaml.Node) -> FilePosition:
        return FilePosition(self.file, node.start_mark.line + 1)

    def read_value(self, node: yaml.Node, depth: int = 0) -> Any:
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise SpecError(
                "the file holds more values than a spec may",
                where=str(self._position_of(node)),
                expected=f"at most {MAX_NODES} values, nested at most {MAX_DEPTH} deep, aliases counted in full",
                hint="write the values out, or move what is shared into a file that the spec extends",
            )
        self._check_tag(node)
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.read_value(item, depth + 1) for item in node.value]
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        if plain and node.value in ("", "~", "null"):
            return None
        return YamlScalar(node.value, plain, self._position_of(node))

    def _check_tag(self, node: yaml.Node) -> None:
        # The composer gives every node its implied tag; one that was written out differs from it.
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        implied = self.loader.resolve(type(node), node.value, (plain, not plain))  # type: ignore[no-untyped-call]
        if node.tag != implied:
            self.add_problem(
                "YAML tags are not allowed", node, found=node.tag, hint="remove the tag: scalars are texts"
            )

    def _read_mapping(self, node: yaml.MappingNode, depth: int) -> YamlMapping:
        tree = YamlMapping(self._position_of(node))
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.add_problem("a key has to be a text", key_node, found="a list or a mapping")
                continue
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                self.add_problem(
                    "YAML merge keys are not allowed", key_node, found="<<", hint="use `extends: [FILE, ...]`"
                )
                continue
            value = self.read_value(value_node, depth + 1)
            if key in tree:
                self.add_problem(
                    f"the key {key!r} stands twice in one mapping",
                    key_node,
                    found=f"first in line {tree.marks[key].line}",
                    hint="give each a name of its own, or remove one",
                )
                continue
            tree[key] = value
            tree.marks[key] = self._position_of(key_node)
        return tree


def read_yaml(file: Path, problems: list[Problem]) -> YamlMapping:
    """Read one YAML file as a tree of texts.

    Parameters
    ----------
    file : Path
        The file.
    problems : list of Problem
        Takes what is wrong but does not keep the rest from being read.

    Raises
    ------
    SpecError
        If the file can't be read at all: missing, not UTF-8, not YAML, not a mapping, too large.
    """
    raw = _read_bytes(file)
    try:
        text = raw.decode("utf-8-sig")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        reader = _NodeReader(file, problems)
        value = YamlMapping(FilePosition(file, 1)) if node is None else reader.read_value(node)
    except UnicodeDecodeError as error:
        raise SpecError("the file is not UTF-8 text", where=str(file), found=str(error)) from error
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        found = " ".join(part for part in (error.context, error.problem) if part)
        raise SpecError(
            "the file is not valid YAML", where=f"{file}{line}", found=found, hint="check indentation and quotes"
        ) from error
    except yaml.YAMLError as error:
        raise SpecError("the file is not valid YAML", where=str(file), found=str(error)) from error
    except RecursionError as error:
        raise SpecError("the file is nested too deeply", where=str(file), expected=f"at most {MAX_DEPTH}") from error
    if not isinstance(value, YamlMapping):
        raise SpecError("the file is not a mapping", where=str(file), expected="`key: value` lines")
    return value


def _read_bytes(file: Path) -> bytes:
    try:
        if file.is_file() and file.stat().st_size > MAX_BYTES:
            raise SpecError(
                "the file is too large for a spec", where=str(file), expected=f"at most {MAX_BYTES} bytes"
            )
        return file.read_bytes()
    except OSError as error:
        raise SpecError(
            "the spec can't be read", where=str(file), found=error.strerror or str(error), hint="check the path"
        ) from error


def merge(base: Any, over: Any) -> Any:
    """Merge two trees deeply: mappings key by key, anything else is replaced by `over`."""
    if not (isinstance(base, YamlMapping) and isinstance(over, YamlMapping)):
        return over
    merged = YamlMapping(over.mark or base.mark)
    merged.marks = {**base.marks, **over.marks}
    for key in [*base, *(key for key in over if key not in base)]:
        if key in over:
            merged[key] = merge(base[key], over[key]) if key in base else over[key]
        else:
            merged[key] = base[key]
    return merged


def read_document(file: Path, root: Path) -> SpecDocument:
    """Read a spec and all that it extends, merged deeply, later files over earlier ones.

    Parameters
    ----------
    file : Path
        The spec.
    root : Path
        The folder that no extended file may lie outside of, links resolved.
    """
    document = SpecDocument(YamlMapping())
    document.tree = _read_extended(file, root.resolve(), document, ())
    return document


def _read_extended(file: Path, root: Path, document: SpecDocument, chain: tuple[Path, ...]) -> YamlMapping:
    tree = read_yaml(file, document.problems)
    document.files.append(file)
    if len(document.files) > MAX_FILES:
        raise SpecError("the spec extends too many files", where=str(file), expected=f"at most {MAX_FILES}")
    parents = tree.pop("extends", None)
    mark = tree.marks.pop("extends", None)
    base = YamlMapping()
    here = (*chain, file.resolve())
    for name, place in _parse_parents(parents, mark, document.problems):
        parent = (file.parent / name).resolve()
        problem = _check_parent(parent, name, root, here, place)
        if problem is not None:
            document.problems.append(problem)
            continue
        base = merge(base, _read_extended(Path(os.path.normpath(file.parent / name)), root, document, here))
    return merge(base, tree) if base else tree


def _parse_parents(parents: Any, mark: FilePosition | None, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    names = [parents] if isinstance(parents, YamlScalar) else parents
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, YamlScalar) for name in names):
        problems.append(Problem("`extends` is not a list of files", where=str(mark), expected="[../lab.yaml, ...]"))
        return
    for name in names:
        yield str(name), str(name.mark)


def _check_parent(parent: Path, name: str, root: Path, chain: tuple[Path, ...], where: str) -> Problem | None:
    if not parent.is_relative_to(root):
        return Problem(
            "the spec extends a file outside the root",
            where=f"{where}: extends",
            expected=f"a file below {root}",
            found=name,
            hint="move the file, or put an nwbpipe.toml into the folder that holds both",
        )
    if parent in chain:
        return Problem("the spec extends itself", where=f"{where}: extends", found=name, hint="break the circle")
    if not parent.is_file():
        return Problem("the file to extend is not there", where=f"{where}: extends", found=name)
    return None
