"""Write a data set to a folder, and read one back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nwbpipe.catalog import Catalog
from nwbpipe.errors import DamagedFileError, OverwriteError, RequestError
from nwbpipe.export._libraries import import_library
from nwbpipe.export._write import new_path
from nwbpipe.export.ml._card import describe_dataset, render_card
from nwbpipe.export.ml._dataset import MlDataset, Window, make_dataset
from nwbpipe.export.ml._declaration import Declaration, load_declaration
from nwbpipe.export.ml._fit import Fits
from nwbpipe.export.ml._leakage import assert_no_leakage
from nwbpipe.export.ml._open import open_sessions
from nwbpipe.export.ml._session_hdf5 import read_session, require_digest, write_session
from nwbpipe.export.ml._split import Stretch, describe_stretches
from nwbpipe.export.ml._streams import Labels, Session, Signal
from nwbpipe.provenance import canonical_json, digest

MANIFEST, INDEX, CARD, SESSIONS = "dataset.json", "windows.parquet", "CARD.md", "sessions"
_FORMAT = 1


def open_dataset(
    source: Catalog | Path | str | Iterable[Path | str], declaration: Declaration | Mapping[str, Any] | Path | str
) -> MlDataset:
    """Return a data set that is read from session files as it is used; nothing is written.

    Parameters
    ----------
    source : Catalog, path, or paths
        ``project.catalog()``, or session files (``s3://…`` too).
    declaration : path or mapping
        A TOML file, or its content; see `load_declaration`.

    Raises
    ------
    SpecError
        If the declaration is wrong.
    RequestError
        If no session fits, or the split leaves a part empty.

    Examples
    --------
    >>> dataset = open_dataset(project.catalog(), "dataset.toml")  # doctest: +SKIP
    >>> counts = dataset.part("train")[0]["inputs"]["spikes"]  # doctest: +SKIP
    """
    declared = load_declaration(declaration)
    sessions, left_out = open_sessions(_open_catalog(source), declared)
    return make_dataset(declared, sessions, left_out, make_digest(declared, sessions))


def export_dataset(
    source: Catalog | Path | str | Iterable[Path | str],
    declaration: Declaration | Mapping[str, Any] | Path | str,
    out: Path | str,
) -> MlDataset | None:
    """Write a data set to a folder: a temporaldata file for each session, an index of windows, and a card.

    Parameters
    ----------
    source, declaration
        See `open_dataset`.
    out : path
        A new folder.

    Returns
    -------
    MlDataset or None
        The data set; None if `out` holds it already, made from the same declaration and the same data.

    Raises
    ------
    OverwriteError
        If `out` exists, with another data set: its message says what has changed since.
    LeakageError
        If the parts share data.
    ToolMissingError
        If temporaldata or pyarrow is not installed.
    """
    declared, folder = load_declaration(declaration), Path(out)
    sessions, left_out = open_sessions(_open_catalog(source), declared)
    key = make_digest(declared, sessions)
    if (folder / MANIFEST).is_file():
        changes = compare_manifest(read_manifest(folder), declared, sessions)
        if not changes:
            return None
        raise OverwriteError(
            "the folder holds a data set that is stale",
            where=str(folder),
            found="; ".join(changes),
            hint="export to a new folder, and remove the old one if nothing needs it",
        )
    import_library("temporaldata")
    parquet = import_library("pyarrow.parquet")
    dataset = make_dataset(declared, sessions, left_out, key)
    assert_no_leakage(dataset)
    with new_path(folder) as partial:
        (partial / SESSIONS).mkdir(parents=True)
        for session in dataset.sessions.values():
            write_session(partial / SESSIONS / f"{session.name}.h5", session, dataset)
        parquet.write_table(_make_index(dataset), partial / INDEX)
        facts = describe_dataset(dataset)
        content = [_describe_content(session) for session in sessions]
        manifest = _make_manifest(dataset) | {"content": content, "card": facts}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (partial / CARD).write_text(render_card(dataset, facts), encoding="utf-8")
    return dataset


def load_dataset(folder: Path | str) -> MlDataset:
    """Return an exported data set.

    Raises
    ------
    RequestError
        If the folder holds none.
    DamagedFileError
        If a file of it is damaged, or of another data set.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    declaration = load_declaration(manifest["declaration"])
    sessions = [
        read_session(folder / SESSIONS / f"{facts['name']}.h5", facts, declaration, manifest["digest"])
        for facts in manifest["sessions"]
    ]
    table = import_library("pyarrow.parquet").read_table(folder / INDEX)
    require_digest(
        folder / INDEX, (table.schema.metadata or {}).get(b"nwbpipe_digest", b"").decode(), manifest["digest"]
    )
    rows = table.to_pylist()
    return MlDataset(
        declaration,
        sessions,
        {name: [Stretch(**item) for item in items] for name, items in manifest["stretches"].items()},
        digest=manifest["digest"],
        left_out=manifest["left_out"],
        windows=[Window(row["session"], row["part"], row["start"], row["row"]) for row in rows],
        fits=Fits.from_dict(manifest["fits"]),
        dropped=manifest["dropped"],
    )


def make_digest(declaration: Declaration, sessions: Sequence[Session]) -> str:
    """Return the digest of all that decides a data set: the declaration, and the content that it is made from."""
    return digest(canonical_json({"format": _FORMAT, "declaration": _dump(declaration), "sessions": [
        _describe_content(session) for session in sessions
    ]}))  # fmt: skip


def compare_manifest(manifest: Mapping[str, Any], declaration: Declaration, sessions: Sequence[Session]) -> list[str]:
    """Return what has changed since a data set was exported, in words; nothing if it is up to date."""
    if manifest["digest"] == make_digest(declaration, sessions):
        return []
    changes = []
    if manifest["declaration"] != _dump(declaration):
        changes.append("the declaration has changed")
    old = {item["name"]: item for item in manifest["content"]}
    new = {session.name: _describe_content(session) for session in sessions}
    changes += [f"{name} is new" for name in new.keys() - old.keys()]
    changes += [f"{name} was removed" for name in old.keys() - new.keys()]
    for name in sorted(old.keys() & new.keys()):
        stored, current = old[name]["identities"], new[name]["identities"]
        paths = sorted(path for path in stored.keys() | current.keys() if stored.get(path) != current.get(path))
        if paths:
            changes.append(f"{name}: {', '.join(paths)} changed")
        elif old[name] != new[name]:
            changes.append(f"{name}: other units or ROIs meet the conditions, or its keys changed")
    return changes or ["it is of another version of nwbpipe"]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an exported data set.

    Raises
    ------
    RequestError
        If the folder holds none.
    DamagedFileError
        If it is not JSON.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = "`nwbpipe export ml` writes one"
        raise RequestError("the folder holds no data set", where=str(folder), expected=MANIFEST, hint=hint) from error
    except ValueError as error:
        raise DamagedFileError(
            "the manifest of the data set is damaged", where=str(folder / MANIFEST), found=str(error)
        ) from error
    return dict(manifest)


def _open_catalog(source: Catalog | Path | str | Iterable[Path | str]) -> Catalog:
    if isinstance(source, Catalog):
        return source
    return Catalog.of_files([source] if isinstance(source, Path | str) else source)


def _dump(declaration: Declaration) -> dict[str, Any]:
    return declaration.model_dump(mode="json", exclude_defaults=True) | {"nwbpipe": 1}


def _describe_content(session: Session) -> dict[str, Any]:
    columns = {name: data.labels for name, data in session.data.items() if not isinstance(data, Labels)}
    return {
        "name": session.name, "subject": session.subject, "session": session.session, "day": session.day,
        "identities": dict(session.identities), "columns": columns,
    }  # fmt: skip


def _make_manifest(dataset: MlDataset) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "digest": dataset.digest,
        "declaration": _dump(dataset.declaration),
        "sessions": [_describe_session(session) for session in dataset.sessions.values()],
        "stretches": describe_stretches(dataset.stretches),
        "fits": dataset.fits.as_dict(),
        "left_out": dataset.left_out,
        "dropped": dict(dataset.dropped),
    }


def _describe_session(session: Session) -> dict[str, Any]:
    signals = {
        name: {"is_population": data.is_population, "unit": data.unit}
        for name, data in session.data.items()
        if isinstance(data, Signal)
    }
    return {
        "name": session.name, "subject": session.subject, "session": session.session, "day": session.day,
        "paths": dict(session.paths), "identities": dict(session.identities), "runs": session.runs,
        "signals": signals,
    }  # fmt: skip


def _make_index(dataset: MlDataset) -> Any:
    import pyarrow as pa

    length = dataset.declaration.dataset.length
    return pa.table(
        {
            "window": pa.array(range(len(dataset)), pa.int64()),
            "session": pa.array([window.session for window in dataset.windows], pa.string()),
            "part": pa.array([window.part for window in dataset.windows], pa.string()),
            "start": pa.array([window.start for window in dataset.windows], pa.float64()),
            "stop": pa.array([window.start + length for window in dataset.windows], pa.float64()),
            "row": pa.array([window.row for window in dataset.windows], pa.int64()),
        },
        metadata={"nwbpipe_digest": dataset.digest},
    )
