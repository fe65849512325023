"""Keep the tables of many files as Parquet in a store, and read them again.

A manifest names the files, the state that each was in, and the pack: one Parquet file a table. A pack is named by
what it holds and never changes. Large tables are not packed, but unchanged file by file.
"""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as parquet

from nwbpipe.catalog._merge import merge_tables
from nwbpipe.errors import NwbpipeError
from nwbpipe.machine import make_cache_folder
from nwbpipe.provenance import canonical_json, digest
from nwbpipe.stores import Store

REVISION = 1  # of the tables: a catalogue of another revision is made anew
FOLDER = "catalog"
UNPACKED = ("spike_times",)
_MANIFEST = f"{FOLDER}/manifest.json"
_OURS = re.compile(rf"{FOLDER}/[0-9a-f]{{32}}/[a-z][a-z0-9_]*\.parquet")
_KEPT = timedelta(days=1)  # a pack that a query of somebody else may still read
_SOURCE = "_location"  # column of a pack: the session file that a row is from


@dataclass
class Manifest:
    """What a catalogue holds.

    Attributes
    ----------
    files : dict of str to str
        State of each session file, by its location.
    tables : dict of str to list of str
        Paths of the Parquet files of each table.
    notes : list of str
        What a reader should know: columns whose types differ between files.
    """

    files: dict[str, str] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    revision: int = REVISION


class Packs:
    """The Parquet files of a catalogue.

    Parameters
    ----------
    store : Store
        Where they are, in the folder ``catalog``.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def read_manifest(self) -> Manifest:
        """Return the manifest; an empty one if there is none, or one that can't be read or is of another revision."""
        try:
            values = json.loads(self.store.read_bytes(_MANIFEST))
            manifest = Manifest(
                files={str(name): str(version) for name, version in values["files"].items()},
                tables={str(name): [str(path) for path in paths] for name, paths in values["tables"].items()},
                notes=[str(note) for note in values["notes"]],
                revision=int(values["revision"]),
            )
        except (NwbpipeError, ValueError, KeyError, TypeError, AttributeError):
            return Manifest()
        paths = [path for names in manifest.tables.values() for path in names]
        return manifest if manifest.revision == REVISION and all(map(_OURS.fullmatch, paths)) else Manifest()

    def update(
        self, old: Manifest, files: Mapping[str, str], fresh: Mapping[str, Mapping[str, pa.Table]]
    ) -> Manifest:
        """Write a pack of the unchanged files of an older one and of fresh tables; return its manifest.

        Parameters
        ----------
        old : Manifest
        files : mapping of str to str
            State of each file that the catalogue is to hold.
        fresh : mapping of str to (mapping of str to Table)
            The tables of files that changed, by file and name.
        """
        unchanged = [name for name in files if name not in fresh]
        folder = f"{FOLDER}/{digest(canonical_json([REVISION, sorted(files.items())]))[:32]}"
        manifest = Manifest(dict(files))
        for table in sorted({*old.tables, *(name for tables in fresh.values() for name in tables)}):
            if table in UNPACKED:
                manifest.tables[table] = self._update_unpacked(table, old, unchanged, files, fresh)
                continue
            parts = self._read_kept(old.tables.get(table, []), unchanged)
            parts += [_mark(tables[table], name) for name, tables in fresh.items() if table in tables]
            if not parts:
                continue
            merged, differing = merge_tables(parts)
            manifest.notes += [
                f"{table}.{name} is {kinds} in different files: read as text" for name, kinds in differing.items()
            ]
            manifest.tables[table] = [self._write(f"{folder}/{table}.parquet", merged)]
        self.store.write_bytes(_MANIFEST, json.dumps(asdict(manifest), indent=1).encode())
        self._sweep(manifest)
        return manifest

    def open(self, paths: Iterable[str]) -> pa.dataset.Dataset | None:
        """Return the rows of several Parquet files, which are read when they are asked for; None of no file."""
        import pyarrow.dataset

        local = [self._fetch(path) for path in paths]
        if not local:
            return None
        schemas = [parquet.read_schema(path) for path in local]
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        return pyarrow.dataset.dataset(local, schema=schema, format="parquet")

    def _update_unpacked(
        self,
        table: str,
        old: Manifest,
        unchanged: Sequence[str],
        files: Mapping[str, str],
        fresh: Mapping[str, Mapping[str, pa.Table]],
    ) -> list[str]:
        old_paths = set(old.tables.get(table, []))
        paths = [path for name in unchanged if (path := _unpacked_path(table, name, files[name])) in old_paths]
        for name, tables in fresh.items():
            if table in tables:
                paths.append(self._write(_unpacked_path(table, name, files[name]), _mark(tables[table], name)))
        return sorted(paths)

    def _read_kept(self, paths: Iterable[str], names: Sequence[str]) -> list[pa.Table]:
        dataset = self.open(paths)
        if dataset is None or not names:
            return []
        import pyarrow.dataset

        table = dataset.to_table(filter=pyarrow.dataset.field(_SOURCE).isin(names))
        return [table] if table.num_rows else []

    def _write(self, path: str, table: pa.Table) -> str:
        buffer = io.BytesIO()
        parquet.write_table(table, buffer, compression="zstd")
        self.store.write_bytes(path, buffer.getvalue())
        return path

    def _fetch(self, path: str) -> str:
        """Return the path of a Parquet file on this machine. It never changes, so a remote one is copied once."""
        local = self.store.local_path(path)
        if local is None:
            local = make_cache_folder() / "catalogs" / digest(self.store.root)[:16] / path
            if not local.is_file():
                local.parent.mkdir(parents=True, exist_ok=True)
                partial = local.with_suffix(f".{uuid.uuid4().hex[:8]}.partial")
                partial.write_bytes(self.store.read_bytes(path))
                partial.replace(local)
        return str(local)

    def _sweep(self, manifest: Manifest) -> None:
        """Remove packs that the manifest no longer names, once nobody can be reading them."""
        named = {path for paths in manifest.tables.values() for path in paths}
        limit = datetime.now(UTC) - _KEPT
        for entry in list(self.store.list(FOLDER)):
            old = entry.modified is not None and entry.modified < limit
            if old and entry.path not in named and _OURS.fullmatch(entry.path):
                self.store.remove(entry.path)


def _unpacked_path(table: str, name: str, version: str) -> str:
    return f"{FOLDER}/{digest(canonical_json([REVISION, name, version]))[:32]}/{table}.parquet"


def _mark(table: pa.Table, name: str) -> pa.Table:
    return table.append_column(_SOURCE, pa.array([name] * table.num_rows, pa.string()))
