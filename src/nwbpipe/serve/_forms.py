"""Forms that are made of the spec's models: their fields, what is in them, and what a person sent."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel

from nwbpipe.validation import Key, ProblemCollector

# A change of an id makes another session of it, with another file.
_FIXED = ("subject_id", "session_id")
_LONG = ("description", "notes", "protocol", "pharmacology", "surgery", "virus", "slices", "data_collection", "text")
_EXAMPLES = {
    "species": "Mus musculus", "age": "P90D", "date": "2024-04-01", "weight": "23 g", "volume_in_nl": "200",
    "session_start_time": "2024-05-01T10:00:00-04:00", "date_of_birth": "2024-02-01T00:00:00-05:00",
    "experimenter": "Doe, Jane", "titer_in_vg_per_ml": "1e12", "location": "VISp",
}  # fmt: skip
NAME = "@name"  # the key of an entry of a mapping


@dataclass(frozen=True)
class Slot:
    """A field of a model.

    Attributes
    ----------
    name : str
    kind : {"text", "choice", "lines", "pairs", "entries"}
        Of texts a line each; of pairs ``name: text`` lines; entries have a model of their own.
    choices : sequence of str
    model : type, optional
    is_required : bool
    """

    name: str
    kind: str
    choices: Sequence[str] = ()
    model: type[BaseModel] | None = None
    is_required: bool = False


@dataclass
class Field:
    """A field of a form.

    Attributes
    ----------
    slot : Slot
    key : str
        Its name in the form: ``subject.surgeries.0.date``.
    value : str
        The text in it.
    is_fixed : bool
        True if it can't be changed here.
    is_long : bool
        True if it gets several lines.
    example : str
    entries : list of Entry
        Of a field of entries, the last one empty.
    mistakes : list of str
    """

    slot: Slot
    key: str
    value: str = ""
    is_fixed: bool = False
    is_long: bool = False
    example: str = ""
    entries: list[Entry] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)


@dataclass
class Entry:
    """One entry of a list, or of a mapping: then `name` is its key.

    Attributes
    ----------
    key : str
        ``subject.surgeries.0``.
    name : str or None
        None in a list.
    fields : list of Field
    is_new : bool
        True for the empty one at the end.
    is_removed : bool
        True if the form asks to remove it.
    section_key : str
        Its key in the section that the form leaves: entries before it may be removed.
    mistakes : list of str
        Of the entry as a whole.
    """

    key: str
    name: str | None
    fields: list[Field]
    is_new: bool = False
    is_removed: bool = False
    section_key: str = ""
    mistakes: list[str] = field(default_factory=list)


def describe_model(model: type[BaseModel]) -> list[Slot]:
    """Return the fields of a model that a form can show: its own, then those that it has from another."""
    slots = []
    own_names = model.__annotations__
    for name, info in sorted(model.model_fields.items(), key=lambda item: item[0] not in own_names):
        kind = _unwrap(info.annotation)
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        required = info.is_required()
        item = _unwrap(args[0]) if args else None
        if origin is Literal:
            slots.append(Slot(name, "choice", tuple(map(str, args)), is_required=required))
        elif name == "notes" or (origin is list and isinstance(item, type) and issubclass(item, BaseModel)):
            slots.append(Slot(name, "entries", model=_find_model(kind), is_required=required))
        elif origin is list:
            slots.append(Slot(name, "lines", is_required=required))
        elif origin is dict:
            slots.append(Slot(name, "pairs", is_required=required))
        else:
            slots.append(Slot(name, "text", is_required=required))
    return slots


def _unwrap(annotation: Any) -> Any:
    """Return a type without what is annotated to it, and without None."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _unwrap(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not types.NoneType]
        return _unwrap(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def _find_model(annotation: Any) -> type[BaseModel] | None:
    for part in (annotation, *typing.get_args(annotation)):
        inner = _unwrap(part)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
        if inner is not annotation and typing.get_args(inner) and (model := _find_model(inner)):
            return model
    return None


# From the spec into the form -------------------------------------------------------------------------------


def fill_fields(model: type[BaseModel], tree: Mapping[str, Any], prefix: str) -> list[Field]:
    """Return the fields of a form with what a section of the spec holds."""
    return [_fill(slot, tree.get(slot.name), f"{prefix}.{slot.name}") for slot in describe_model(model)]


def _fill(slot: Slot, value: Any, key: str) -> Field:
    result = Field(slot, key, is_fixed=slot.name in _FIXED, example=_EXAMPLES.get(slot.name, ""))
    if slot.kind == "entries" and isinstance(value, str):  # notes as one text
        result.slot, result.value, result.is_long = Slot(slot.name, "text"), value, True
    elif slot.kind == "entries" and slot.model is not None:
        items = value if isinstance(value, list) else []
        result.is_fixed = value is not None and not _is_plain(value, Mapping)
        result.entries = fill_entries(slot.model, [(None, item) for item in items if isinstance(item, Mapping)], key)
    elif slot.kind == "lines":
        texts = [value] if isinstance(value, str) else value
        result.is_fixed = value is not None and not _is_plain(texts, str)
        result.value = "\n".join(map(str, texts or ())) if not result.is_fixed else ""
        result.is_fixed |= "\n" in "".join(map(str, texts or ()))
    elif slot.kind == "pairs":
        result.is_fixed = value is not None and not (isinstance(value, Mapping) and _is_plain([*value.values()], str))
        if isinstance(value, Mapping) and not result.is_fixed:
            result.value = "\n".join(f"{name}: {text}" for name, text in value.items())
            result.is_fixed = read_pairs(result.value) != dict(value)
    else:
        result.is_fixed |= not isinstance(value, str | None)
        result.value = value if isinstance(value, str) else ""
        result.is_long = "\n" in result.value or slot.name in _LONG or slot.name.endswith("description")
    return result


def _is_plain(values: Any, kind: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def fill_entries(
    model: type[BaseModel], items: Sequence[tuple[str | None, Mapping[str, Any]]], key: str, *, named: bool = False
) -> list[Entry]:
    """Return the entries of a list or mapping, and an empty one after them."""
    entries = [
        Entry(f"{key}.{index}", name, fill_fields(model, item, f"{key}.{index}"))
        for index, (name, item) in enumerate(items)
    ]
    last = f"{key}.{len(items)}"
    return [*entries, Entry(last, "" if named else None, fill_fields(model, {}, last), is_new=True)]


# From the form into the spec -------------------------------------------------------------------------------


def read_fields(fields: Sequence[Field], old: Mapping[str, Any], form: Mapping[str, str]) -> dict[str, Any]:
    """Return a section of the spec as a form leaves it; what the form does not show stays.

    The texts that were sent are put into the fields, so that a page can show them again.
    """
    new = dict(old)
    for item in fields:
        name = item.slot.name
        if item.is_fixed:
            continue
        if item.slot.kind == "entries":
            olds = old.get(name)
            contents = read_entries(item.entries, olds if isinstance(olds, list) else [], form)
            value: Any = [content for _, content in contents] or None
        else:
            value = _read(item, old.get(name), form.get(item.key, item.value))
        new.pop(name, None)
        if value is not None:
            new[name] = value
    return new


def read_entries(
    entries: Sequence[Entry], old: Sequence[Mapping[str, Any]], form: Mapping[str, str]
) -> list[tuple[Entry, dict[str, Any]]]:
    """Return the entries of a form with their content, without those that are removed or left empty."""
    contents: list[tuple[Entry, dict[str, Any]]] = []
    for index, entry in enumerate(entries):
        old_entry = old[index] if index < len(old) else {}
        content = read_fields(entry.fields, old_entry, form)
        if entry.is_new and entry.name is not None:
            entry.name = form.get(f"{entry.key}.{NAME}", "").strip()
        entry.is_removed = form.get(f"{entry.key}.@remove") == "yes"
        if entry.is_removed or (entry.is_new and not content and not entry.name):
            entry.is_removed = True
            continue
        above = entry.key.rpartition(".")[0]
        entry.section_key = f"{above}.{entry.name if entry.name is not None else len(contents)}"
        contents.append((entry, content))
    return contents


def _read(item: Field, old: Any, sent: str) -> Any:
    """Return the value of a field; the old one if only blanks at its ends differ, or the style of line breaks."""
    text = sent.replace("\r\n", "\n")
    item.value = text
    if item.slot.kind == "lines":
        texts = [line.strip() for line in text.split("\n") if line.strip()]
        return old if texts == ([old] if isinstance(old, str) else old or []) else texts or None
    if item.slot.kind == "pairs":
        pairs = read_pairs(text)
        return old if pairs == (old or {}) else pairs or None
    if isinstance(old, str) and old.strip() == text.strip():
        return old
    return text.strip() or None


def read_pairs(text: str) -> dict[str, str]:
    """Read ``name: text`` lines."""
    pairs = (line.partition(":") for line in text.split("\n") if line.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


# Mistakes --------------------------------------------------------------------------------------------------


class MistakeFinder(ProblemCollector):
    """Collect the mistakes of a section by the fields that they are of."""

    def __init__(self) -> None:
        super().__init__()
        self.by_key: dict[str, list[str]] = {}

    def add(
        self, what: str, *key: Key, expected: str | None = None, found: str | None = None, hint: str | None = None
    ) -> None:
        """Add a mistake at a key."""
        super().add(what, *key, expected=expected, found=found, hint=hint)
        text = f"{what}: expected {expected.removeprefix('expected ')}" if expected else what
        self.by_key.setdefault(".".join(map(str, key)), []).append(f"{text}; {hint}" if hint else text)

    def show_in(self, fields: Sequence[Field], entries: Sequence[Entry] = ()) -> list[str]:
        """Put each mistake beside its field; return those that have none."""
        items = list(iterate_items(fields, entries))
        items_by_key: dict[str, Any] = {item.key: item for item in items}
        for entry in (item for item in items if isinstance(item, Entry) and item.section_key):
            inner = {entry.section_key + part.key.removeprefix(entry.key): part for part in entry.fields}
            items_by_key |= {entry.section_key: entry, **inner}
        unplaced = []
        for key, texts in self.by_key.items():
            target = items_by_key.get(key)
            if target is None:
                target = next((items_by_key[up] for up in _list_above(key) if up in items_by_key), None)
                texts = [f"{key}: {text}" for text in texts]
            if target is None:
                unplaced += texts
            else:
                target.mistakes += texts
        return unplaced


def iterate_items(fields: Sequence[Field], entries: Sequence[Entry]) -> Iterator[Field | Entry]:
    """Yield fields and entries, and those within them."""
    for item in fields:
        yield item
        yield from iterate_items((), item.entries)
    for entry in entries:
        yield entry
        yield from iterate_items(entry.fields, ())


def _list_above(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]
