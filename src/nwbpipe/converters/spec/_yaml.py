"""Reading YAML in which every scalar is text, with the place of every value kept.

YAML's own typing guesses: ``2024-05-01`` becomes a date, ``042`` the number 34 and ``N`` false. Here a scalar
stays the text that was written; its type is decided by the annotation that it is read with (`_values`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from nwbpipe.disk import read_regular
from nwbpipe.errors import NwbpipeError, Problem, SpecError
from nwbpipe.validation import Key, ProblemCollector

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


class SpecDocument(ProblemCollector):
    """The merged content of a spec and the files that it extends, and its mistakes.

    Attributes
    ----------
    tree : YamlMapping
        The merged mapping.
    files : list of Path
        The files that were read, the spec's own first.
    """

    mapping = "`key: value` lines"
    example = "{}: …"

    def __init__(self, tree: YamlMapping) -> None:
        super().__init__()
        self.tree = tree
        self.files: list[Path] = []

    def locate(self, key: tuple[Key, ...]) -> tuple[str | None, str]:
        """Return the file and line of a key, or of the mapping that lacks it, and the key in words."""
        value: Any = self.tree
        position = self.tree.mark
        for part in key:
            if isinstance(value, YamlMapping) and part in value:
                position = value.marks.get(str(part)) or position
                value = value[str(part)]
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
                position = getattr(value, "mark", None) or position
            else:
                break
        return str(position) if position else None, ".".join(map(str, key))


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
        self._check_characters(node)
        return YamlScalar(node.value, plain, self._position_of(node))

    def _check_characters(self, node: yaml.Node) -> None:
        if "\0" in node.value:  # HDF5 ends a text there
            self.add_problem(
                "the text holds a null character", node, expected="a text without \\0",
                found=repr(node.value), hint="remove \\0 from the quoted text",
            )  # fmt: skip

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
            self._check_characters(key_node)
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
    return _parse(_read_bytes(file), file, problems)


def list_yaml_problems(data: bytes, file: Path) -> list[Problem]:
    """Return what is wrong with the YAML of one file of a spec; what it extends is not looked at.

    Parameters
    ----------
    data : bytes
        The content that the file has, or shall have.
    file : Path
    """
    problems: list[Problem] = []
    try:
        _parse(data, file, problems)
    except SpecError as error:
        return [*problems, *(error.problems or [error.problem])]
    return problems


def _parse(raw: bytes, file: Path, problems: list[Problem]) -> YamlMapping:
    try:
        text = raw.decode("utf-8-sig")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        reader = _NodeReader(file, problems)
        value = YamlMapping(FilePosition(file, 1)) if node is None else reader.read_value(node)
    except UnicodeDecodeError as error:
        raise SpecError("the file is not UTF-8 text", where=str(file), found=str(error)) from error
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        detail = " ".join(part for part in (error.context, error.problem) if part)
        raise SpecError(
            "the file is not valid YAML", where=f"{file}{line}", found=detail, hint="check indentation and quotes"
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
        data = read_regular(file, MAX_BYTES)
    except OSError as error:
        raise SpecError(
            "the spec can't be read", where=str(file), found=error.strerror or str(error), hint="check the path"
        ) from error
    if len(data) > MAX_BYTES:
        msg = "the file is too large for a spec"
        raise SpecError(msg, where=str(file), expected=f"at most {MAX_BYTES} bytes")
    return data


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


def read_document(file: Path, root: Path, fetch: Callable[[Path], None] = lambda _path: None) -> SpecDocument:
    """Read a spec and all that it extends, merged deeply, later files over earlier ones.

    Parameters
    ----------
    file : Path
        The spec.
    root : Path
        The folder that no extended file may lie outside of, links resolved.
    fetch : callable
        Called with each file before it is read: brings one that is not on this machine.

    Raises
    ------
    SpecError
        If a file can't be read at all.
    """
    document = SpecDocument(YamlMapping())
    document.tree = _ExtendsReader(document, root.resolve(), fetch).read(file, ())
    return document


class _ExtendsReader:
    """Reads a spec with the files that it extends."""

    def __init__(self, document: SpecDocument, root: Path, fetch: Callable[[Path], None]) -> None:
        self.document = document
        self.root = root
        self.fetch = fetch

    def read(self, file: Path, chain: tuple[Path, ...]) -> YamlMapping:
        if not chain:
            self.fetch(file)
        tree = read_yaml(file, self.document.problems)
        self.document.files.append(file)
        if len(self.document.files) > MAX_FILES:
            raise SpecError("the spec extends too many files", where=str(file), expected=f"at most {MAX_FILES}")
        parents = tree.pop("extends", None)
        mark = tree.marks.pop("extends", None)
        base = YamlMapping()
        chain = (*chain, file.resolve())
        for name in self._parse_parents(parents, mark):
            parent = Path(os.path.normpath(file.parent / name))
            try:
                problem = self._check_parent(parent, name, chain)
            except (OSError, ValueError) as error:  # a name that no file can have
                problem = Problem("the file to extend can't be read", hint=str(error))
            if problem is not None:
                self.document.problems.append(replace(problem, where=f"{name.mark}: extends", found=str(name)))
                continue
            base = merge(base, self.read(parent, chain))
        return merge(base, tree) if base else tree

    def _parse_parents(self, parents: Any, mark: FilePosition | None) -> list[YamlScalar]:
        names = [parents] if isinstance(parents, YamlScalar) else parents or []
        if isinstance(names, list) and all(isinstance(name, YamlScalar) for name in names):
            return names
        problem = Problem("`extends` is not a list of files", where=str(mark), expected="[../lab.yaml, ...]")
        self.document.problems.append(problem)
        return []

    def _check_parent(self, parent: Path, name: str, chain: tuple[Path, ...]) -> Problem | None:
        resolved = parent.resolve()
        if not resolved.is_relative_to(self.root):
            return Problem(
                "the spec extends a file outside the root",
                expected=f"a file below {self.root}",
                hint="move the file, or put an nwbpipe.toml into the folder that holds both",
            )
        if resolved in chain:
            return Problem("the spec extends itself", hint="break the circle")
        with contextlib.suppress(NwbpipeError):
            self.fetch(parent)
        return None if parent.is_file() else Problem("the file to extend does not exist", hint="check the path")
