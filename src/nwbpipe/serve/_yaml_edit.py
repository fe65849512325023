"""Change values of a YAML file in place: comments, order, quotes and all other lines stay as they are."""

from __future__ import annotations

import copy
import difflib
import io
import json
from collections.abc import MutableMapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import LiteralScalarString
from ruamel.yaml.tag import Tag

from nwbpipe.errors import RequestError

if TYPE_CHECKING:
    from nwbpipe.validation import Key

_INDENTS = ((2, 4, 2), (2, 2, 0), (4, 4, 2), (4, 6, 4), (4, 4, 0), (2, 3, 1))
_WIDTH = 2**20  # no line is wrapped


@dataclass(frozen=True)
class Change:
    """A change of one value.

    Attributes
    ----------
    path : tuple of (str or int)
        The keys, and places in lists, that lead to the value. The place after the last one of a list appends.
    value : str, list, dict or None
        The new value; None removes it.
    order : sequence of str
        Keys of its mapping in the order of the model: a new key is put after those that come before it.
    """

    path: tuple[Key, ...]
    value: Any
    order: Sequence[str] = ()


class _TextResolver(VersionedResolver):
    """Leave every scalar the text that it is, but those of nothing."""

    @property
    def versioned_resolver(self) -> Any:
        """No scalar has a type of its own."""
        return {}

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Return the tag of a node."""
        if kind is ScalarNode and implicit[0] and value in ("", "~", "null"):
            return Tag(suffix="tag:yaml.org,2002:null")
        return super().resolve(kind, value, implicit)


def edit_yaml(data: bytes, changes: Sequence[Change]) -> bytes:
    """Return the file with some values changed.

    Parameters
    ----------
    data : bytes
        The content of the file, UTF-8.
    changes : sequence of Change
        Removals of entries of lists come last in their lists first.

    Raises
    ------
    RequestError
        If the file can't be changed so that all else in it stays the same.
    """
    text = data.decode("utf-8-sig")
    newline = "\r\n" if "\r\n" in text else "\n"
    old = text.replace("\r\n", "\n")
    try:
        # By way of JSON: what an alias stands for becomes a value of its own, which may not change with the other.
        wanted = json.loads(json.dumps(yaml.load(old, Loader=yaml.BaseLoader) or {}))  # noqa: S506 - plain values
        apply_changes(wanted, changes)
        new = _edit_text(old, changes)
        result = yaml.load(new, Loader=yaml.BaseLoader)  # noqa: S506
    except (YAMLError, yaml.YAMLError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise _refuse(str(error)) from error
    if result != wanted:
        raise _refuse("another value would change, too")
    head = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    return head + new.replace("\n", newline).encode("utf-8")


def _refuse(found: str) -> RequestError:
    msg = "the spec can't be changed in place"
    return RequestError(msg, found=found, hint="change it in an editor")


def apply_changes(tree: Any, changes: Sequence[Change]) -> None:
    """Change values of a tree of mappings and lists in place."""
    for change in changes:
        holder = tree
        for index, part in enumerate(change.path[:-1]):
            if isinstance(holder, MutableMapping) and holder.get(part) in (None, ""):
                holder[part] = {}  # an empty section, or none yet
            holder = holder[change.path[index]]
        key: Any = change.path[-1]
        if change.value is None:
            del holder[key]
        elif isinstance(holder, MutableSequence) and key == len(holder):
            holder.append(_write_value(change.value))
        elif isinstance(holder, CommentedMap) and key not in holder:
            holder.insert(_find_place(list(holder), key, change.order), key, _write_value(change.value))
        else:
            old = holder[key] if key in holder or isinstance(holder, MutableSequence) else None
            holder[key] = _write_value(change.value, old)


def _write_value(value: Any, old: Any = None) -> Any:
    """Return a value with the style in which it is written: that of the old one, and lines as lines."""
    if isinstance(value, list) and isinstance(old, CommentedSeq):
        items = CommentedSeq(value)
        if old.fa.flow_style():
            items.fa.set_flow_style()
        return items
    if isinstance(value, str) and "\n" in value:
        return LiteralScalarString(value)
    return copy.deepcopy(value)


def _find_place(keys: Sequence[str], key: str, order: Sequence[str]) -> int:
    """Return the place of a new key: after the last one that comes before it in the model."""
    earlier = set(order[: order.index(key)]) if key in order else set(keys)
    return max((index + 1 for index, name in enumerate(keys) if name in earlier), default=len(keys))


def _edit_text(old: str, changes: Sequence[Change]) -> str:
    lines = old.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    dumper = _choose_yaml(old, lines)
    tree = dumper.load(old)
    before = _dump(dumper, tree).splitlines(keepends=True)
    if tree is None:
        tree = dumper.load("{}\n")
        tree.fa.set_block_style()
        before = []
    apply_changes(tree, changes)
    after = _dump(dumper, tree).splitlines(keepends=True)
    # Lines that the change leaves alone stay as they were written, however the dumper would write them.
    source = lines if len(lines) == len(before) else before
    new: list[str] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            new += source[i1:i2]
        elif tag == "insert":
            _insert_block(new, after[j1:j2])
        else:
            block = after[j1:j2]
            new += block
            new += [line for line in _cut_comments(source[i1:i2]) if line not in block]
    return "".join(new)


def _insert_block(lines: list[str], block: Sequence[str]) -> None:
    """Add lines before the comments that belong to what follows them: those that are indented less."""
    depth = len(block[0]) - len(block[0].lstrip(" "))
    end = len(lines)
    while end and _is_foreign_comment(lines[end - 1], depth):
        end -= 1
    lines[end:end] = block


def _cut_comments(lines: Sequence[str]) -> list[str]:
    """Return the comments at the end of lines: they may be about what follows."""
    start = len(lines)
    while start and lines[start - 1].strip()[:1] in ("", "#"):
        start -= 1
    return list(lines[start:])


def _is_foreign_comment(line: str, depth: int) -> bool:
    text = line.strip()
    return not text or (text.startswith("#") and len(line) - len(line.lstrip(" ")) < depth)


def _make_yaml(indent: tuple[int, int, int]) -> YAML:
    maker = YAML()
    maker.preserve_quotes = True
    maker.width = _WIDTH
    maker.Resolver = _TextResolver
    maker.allow_duplicate_keys = False
    maker.indent(*indent)
    return maker


def _choose_yaml(text: str, lines: Sequence[str]) -> YAML:
    """Return the dumper that indents as the file does."""
    counts: list[tuple[int, YAML]] = []
    for indent in _INDENTS:
        dumper = _make_yaml(indent)
        counts.append((_count_differences(dumper, text, lines), dumper))
        if not counts[-1][0]:
            break
    return min(counts, key=lambda item: item[0])[1]


def _dump(dumper: YAML, tree: Any) -> str:
    stream = io.StringIO()
    if tree is not None:
        dumper.dump(tree, stream)
    return stream.getvalue()


def _count_differences(dumper: YAML, text: str, lines: Sequence[str]) -> int:
    dumped = _dump(dumper, dumper.load(text)).splitlines(keepends=True)
    if len(dumped) != len(lines):
        return len(lines) + abs(len(dumped) - len(lines))
    return sum(line != written for line, written in zip(lines, dumped, strict=True))
