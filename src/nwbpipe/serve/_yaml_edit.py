"""Change values of a YAML file in place: comments, order, quotes and all other lines stay as they are."""

from __future__ import annotations

import copy
import difflib
import io
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
from nwbpipe.provenance import canonical_json

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
    try:
        text = data.decode("utf-8-sig")
        old = text.replace("\r\n", "\n")
        if "\r" in old:
            raise ValueError("its lines end with CR alone")
        # What an alias stands for becomes a value of its own, which may not change with the other.
        expected = _copy(yaml.load(old, Loader=yaml.BaseLoader) or {})  # noqa: S506 - texts, lists and mappings alone
        apply_changes(expected, changes)
        new = _edit_text(_split(text), changes)
        result = yaml.load(new, Loader=yaml.BaseLoader)  # noqa: S506
    except (YAMLError, yaml.YAMLError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise _refuse(str(error)) from error
    if result != expected:
        raise _refuse("another value would change, too")
    head = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    return head + new.encode("utf-8")


def _copy(value: Any) -> Any:
    """Return lists and mappings anew wherever they are; texts are shared, for aliases may repeat a long one often."""
    if isinstance(value, dict):
        return {key: _copy(part) for key, part in value.items()}
    return [_copy(part) for part in value] if isinstance(value, list) else value


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
    """Return a value in the style of the old one, with what stays of it and its comments; lines as lines."""
    if isinstance(value, list) and isinstance(old, CommentedSeq):
        _change_items(old, value)
        return old
    if isinstance(value, dict) and isinstance(old, CommentedMap):
        for key in [key for key in old if key not in value]:
            del old[key]
        for key, part in value.items():
            if key not in old or old[key] != part:
                old[key] = _write_value(part, old.get(key))
        return old
    if isinstance(value, str) and "\n" in value:
        return LiteralScalarString(value)
    return copy.deepcopy(value)


def _change_items(items: CommentedSeq, value: Sequence[Any]) -> None:
    old, new = ([canonical_json(item) for item in each] for each in (items, value))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for _, i1, i2, j1, j2 in reversed([block for block in matcher.get_opcodes() if block[0] != "equal"]):
        if i2 - i1 == j2 - j1:
            for index in range(i2 - i1):
                items[i1 + index] = _write_value(value[j1 + index], items[i1 + index])
            continue
        for index in reversed(range(i1, i2)):
            del items[index]
        for index in range(j1, j2):
            items.insert(i1 + index - j1, _write_value(value[index]))


def _find_place(keys: Sequence[str], key: str, order: Sequence[str]) -> int:
    """Return the place of a new key: after the last one that comes before it in the model."""
    earlier = set(order[: order.index(key)]) if key in order else set(keys)
    return max((index + 1 for index, name in enumerate(keys) if name in earlier), default=len(keys))


def _split(text: str) -> list[str]:
    """Return the lines of a text with their ends; only LF ends one, as CR LF does."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _edit_text(source: list[str], changes: Sequence[Change]) -> str:
    """Return the text of some lines, changed: only lines that the changes touch are written anew."""
    ends = [line.endswith("\r\n") for line in source if line.endswith("\n")]
    newline = "\r\n" if 2 * sum(ends) > len(ends) else "\n"
    if source and not source[-1].endswith("\n"):
        source[-1] += newline
    lines = [line.replace("\r\n", "\n") for line in source]
    tree = _make_yaml(_INDENTS[0]).load("".join(lines))
    dumper, old_lines = _choose_indent(tree, lines)
    if tree is None:
        tree = _make_yaml(_INDENTS[0]).load("{}\n")
        tree.fa.set_block_style()
        old_lines = []
    apply_changes(tree, changes)
    new_lines = [line.replace("\n", newline) for line in _split(_dump(dumper, tree))]
    old_lines = [line.replace("\n", newline) for line in old_lines]
    written = _find_written(old_lines, source)
    new = written.between(0)
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old_lines, new_lines, autojunk=False).get_opcodes():
        block = new_lines[j1:j2]
        if tag == "equal":
            new += written.take(i1, i2)
        elif tag == "insert":
            _insert_block(new, _shift(block, written.measure_shift(old_lines, i1, block[0])))
            continue
        else:
            new += _shift(block, written.measure_shift(old_lines, i1, old_lines[i1]))
            new += [line for line in _cut_comments(written.take(i1, i2)) if line not in block]
        new += written.between(i2)
    return "".join(new)


@dataclass(frozen=True)
class _Written:
    """Lines of the dumper beside those of the file, which may have other blanks, or be several for one.

    Attributes
    ----------
    parts : list of (list of str, list of str)
        Lines of the dumper, and those of the file; either may be none.
    """

    parts: list[tuple[list[str], list[str]]]

    def take(self, start: int, stop: int) -> list[str]:
        """Return some lines of the dumper as they are in the file; as the dumper writes them if a part is cut."""
        lines: list[str] = []
        first = 0
        for dumped, source in self.parts:
            last = first + len(dumped)
            if start <= first and last <= stop and (dumped or start < first < stop):
                lines += source
            elif first < stop and start < last:
                lines += dumped[max(0, start - first) : stop - first]
            first = last
        return lines

    def between(self, place: int) -> list[str]:
        """Return the lines of the file before one of the dumper that the dumper does not write."""
        lines: list[str] = []
        first = 0
        for dumped, source in self.parts:
            if first == place and not dumped:
                lines += source
            first += len(dumped)
        return lines

    def measure_shift(self, dumped: Sequence[str], place: int, model: str) -> int:
        """Return how much deeper the file indents a line like a model: the one at a place, or the last one before."""
        for index in [*range(place, len(dumped))[:1], *reversed(range(place))]:
            line = dumped[index]
            if _find_depth(line) == _find_depth(model) and _is_item(line) == _is_item(model) and line.strip():
                return _find_depth(self.take(index, index + 1)[0]) - _find_depth(model)
        return 0


def _find_written(dumped: list[str], source: list[str]) -> _Written:
    old, new = _strip_blanks(dumped), _strip_blanks(source)
    parts: list[tuple[list[str], list[str]]] = []
    for _, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if i2 - i1 == j2 - j1:
            parts += [([line], [other]) for line, other in zip(dumped[i1:i2], source[j1:j2], strict=True)]
            continue
        for index in range(i1, i2):  # one line of the dumper may be several of the file, joined
            end = next((end for end in range(j1 + 1, j2 + 1) if "".join(new[j1:end]) == old[index]), None)
            if end is None:
                break
            parts.append(([dumped[index]], source[j1:end]))
            i1, j1 = index + 1, end
        parts.append((dumped[i1:i2], source[j1:j2]))
    return _Written(parts)


def _strip_blanks(lines: Sequence[str]) -> list[str]:
    return ["".join(line.split()) for line in lines]


def _find_depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _is_item(line: str) -> bool:
    return line.lstrip(" ").startswith("- ")


def _shift(block: Sequence[str], shift: int) -> list[str]:
    """Return lines, indented more or less; blank ones stay."""
    return [f"{' ' * shift}{line}"[max(0, -shift) :] if line.strip() else line for line in block]


def _insert_block(lines: list[str], block: Sequence[str]) -> None:
    """Add lines before the comments that belong to what follows them: those that are indented less."""
    depth = _find_depth(block[0])
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
    return text in ("", "...") or (text.startswith("#") and _find_depth(line) < depth)


def _make_yaml(indent: tuple[int, int, int]) -> YAML:
    maker = YAML()
    maker.preserve_quotes = True
    maker.width = _WIDTH
    maker.Resolver = _TextResolver
    maker.allow_duplicate_keys = False
    maker.indent(*indent)
    return maker


def _choose_indent(tree: Any, lines: Sequence[str]) -> tuple[YAML, list[str]]:
    """Return the dumper that indents most as the file does, and the lines that it writes."""
    choices: list[tuple[int, YAML, list[str]]] = []
    for indent in _INDENTS:
        dumper = _make_yaml(indent)
        dumped = _split(_dump(dumper, tree))
        choices.append((_count_differences(dumped, lines), dumper, dumped))
        if not choices[-1][0]:
            break
    return min(choices, key=lambda item: item[0])[1:]


def _dump(dumper: YAML, tree: Any) -> str:
    stream = io.StringIO()
    if tree is not None:
        dumper.dump(tree, stream)
    return stream.getvalue()


def _count_differences(dumped: Sequence[str], lines: Sequence[str]) -> int:
    if len(dumped) != len(lines):
        return len(lines) + abs(len(dumped) - len(lines))
    return sum(line != written for line, written in zip(lines, dumped, strict=True))
