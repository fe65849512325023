"""Put tables of several files one below the other."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


def merge_tables(parts: Sequence[pa.Table]) -> tuple[pa.Table, dict[str, str]]:
    """Return one table with the columns of all, and the columns whose types differ, with these types.

    A column that a table lacks is NULL there. Numbers of different width become the wider type; a column that holds
    numbers in one file and texts in another becomes text.
    """
    types: dict[str, set[pa.DataType]] = {}
    for part in parts:
        for column in part.schema:
            types.setdefault(column.name, set()).add(column.type)
    differing: dict[str, str] = {}
    for name, kinds in types.items():
        if len(kinds) > 1 and not _agree(kinds):
            differing[name] = ", ".join(sorted(map(str, kinds)))
    if differing:
        parts = [_as_text(part, differing) for part in parts]
    return pa.concat_tables(parts, promote_options="permissive"), differing


def _agree(kinds: set[pa.DataType]) -> bool:
    schemas = [pa.schema([("column", kind)]) for kind in kinds]
    try:
        pa.unify_schemas(schemas, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return False
    return True


def _as_text(part: pa.Table, names: dict[str, str]) -> pa.Table:
    for name in names:
        index = part.schema.get_field_index(name)
        if index >= 0 and part.schema.field(index).type != pa.string():
            texts = [None if value is None else str(value) for value in part.column(index).to_pylist()]
            part = part.set_column(index, name, pa.array(texts, pa.string()))
    return part
