"""Load session.yaml: every mistake of the file in one error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from nwbpipe.converters.spec._cross_checks import check_references, choose_reference
from nwbpipe.converters.spec._marks import FILL_IN, check_marks
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.converters.spec._paths import SpecPaths, find_remote_paths, find_spec_paths
from nwbpipe.converters.spec._values import infer_type
from nwbpipe.converters.spec._yaml import SpecDocument, YamlMapping, read_document
from nwbpipe.errors import Problem, show_text
from nwbpipe.stores import Stage, Stores, is_remote
from nwbpipe.stores.s3 import canonical_url


def load_spec(path: Path | str, *, present: bool = True, stores: Stores | None = None) -> SessionSpec:
    """Read, type and check a session.yaml; nothing is converted, no raw data is read.

    Parameters
    ----------
    path : path
        The spec, on this machine; see `open_spec` for any other.
    present : bool
        False if the raw files may be missing: they may have been moved to cold storage after the conversion.
    stores : Stores, optional
        The project's; those of the nearest ``nwbpipe.toml`` above the spec by default.

    Returns
    -------
    SessionSpec
        With defaults filled in, arguments typed as the interfaces declare them, and absolute paths.

    Raises
    ------
    SpecError
        If anything is wrong with it; `problems` names every mistake, each with its file, line and key.
    """
    with open_spec(Path(path), stores, present=present) as spec:
        return spec


@contextmanager
def open_spec(spec: Path | str, stores: Stores | None = None, *, present: bool = True) -> Iterator[SessionSpec]:
    """Load a spec from wherever it is, a local path or a URL; see `load_spec`.

    What a spec at a URL extends is copied to this machine while the block lasts; its sources stay where they are.
    """
    with _open_document(spec, stores) as (document, paths):
        yield _check_document(document, replace(paths, present=present), str(spec))


def check_draft(path: Path | str, *, stores: Stores | None = None, sections: Mapping[str, Any] | None = None) -> None:
    """Check a spec in tenths of a second: all but the few arguments and options that take an import to know.

    Parameters
    ----------
    path : path
        The spec.
    stores : Stores, optional
        See `load_spec`, which looks at all of it.
    sections : mapping of str to object, optional
        Sections that stand in for those of the file, to check an edit before it is written.

    Raises
    ------
    SpecError
        If anything is wrong; `problems` names every mistake that was found.
    """
    with _open_document(path, stores) as (document, paths):
        document.tree.update(sections or {})
        _check_document(document, replace(paths, is_draft=True), str(path))


@dataclass(frozen=True)
class SpecText:
    """The content of a spec as texts, before anything of it is checked.

    Attributes
    ----------
    tree : YamlMapping
        The merged mapping; it knows the file and line of each key.
    files : tuple of Path
        The files that it was read from, its own first.
    root : Path
        The folder that all of them are in.
    """

    tree: YamlMapping
    files: tuple[Path, ...]
    root: Path


def read_spec_text(path: Path, *, stores: Stores | None = None) -> SpecText:
    """Read the content of a spec on this machine; for `stores` see `load_spec`.

    Raises
    ------
    SpecError
        If it can't be read at all.
    """
    with _open_document(path, stores) as (document, paths):
        return SpecText(document.tree, tuple(document.files), paths.root)


@dataclass(frozen=True)
class SpecSummary:
    """A session by its spec.

    Attributes
    ----------
    subject_id, session_id : str
        The session's key.
    fields : mapping of str to str
        Texts of the sections ``subject`` and ``session``, as they were written.
    files : tuple of str
        The files that the spec was read from: absolute paths, or URLs.
    """

    subject_id: str
    session_id: str
    fields: Mapping[str, str]
    files: tuple[str, ...]


def summarize_spec(path: Path | str, *, stores: Stores | None = None) -> SpecSummary:
    """Read a spec's session: quick enough for thousands, as its sources are not looked at.

    For `stores` see `load_spec`.

    Raises
    ------
    SpecError
        If it can't be read, or names no subject or session.
    """
    with _open_document(path, stores) as (document, paths):
        files = tuple(map(paths.original_location, document.files))
    metadata = document.tree.get("metadata")
    more = metadata.get("Subject") if isinstance(metadata, Mapping) else None
    fields: dict[str, str] = {}
    for section in (more, document.tree.get("subject"), document.tree.get("session")):
        if isinstance(section, Mapping):
            fields |= {str(name): str(value) for name, value in section.items() if isinstance(value, str)}
    for section_name, name in (("subject", "subject_id"), ("session", "session_id")):
        value = fields.get(name, "")
        if not value or value.startswith(".") or set(value) & set('/\\:*?"<>|') or show_text(value) != value:
            message = f"{name} can't stand in a file name" if value else f"{name} is missing"
            document.problems.append(Problem(message, str(path), found=value or None))
        elif value == FILL_IN:
            document.add(f"{name!r} is not filled in yet", section_name, name, found=FILL_IN)
    document.raise_problems("the session spec", str(path))
    return SpecSummary(fields["subject_id"], fields["session_id"], fields, files)


@contextmanager
def _open_document(spec: Path | str, stores: Stores | None) -> Iterator[tuple[SpecDocument, SpecPaths]]:
    """Read a spec from wherever it is; its sections are not checked."""
    problems: list[Problem] = []
    with Stage() if is_remote(spec) else nullcontext() as stage:
        if stage is None:
            paths = find_spec_paths(Path(spec), problems, stores)
            file = paths.folder / Path(spec).name
        else:
            file, paths = find_remote_paths(canonical_url(spec), stores, stage)
        document = read_document(file, paths.root, paths.fetch)
        document.problems[:0] = problems
        yield document, paths


def _check_document(document: SpecDocument, paths: SpecPaths, where: str) -> SessionSpec:
    tree = document.tree
    tree.setdefault("nwbpipe", None)
    metadata = tree.get("metadata")
    if isinstance(metadata, Mapping) and not paths.is_draft:  # pynwb is imported for it
        metadata = tree["metadata"] = infer_type(metadata, _text_fields())
    _add_defaults(tree, "subject", metadata.get("Subject") if isinstance(metadata, Mapping) else None)
    _add_defaults(tree, "session", None)
    tree["reference_clock"] = choose_reference(tree)
    spec = document.validate(SessionSpec, tree, context=paths)
    check_references(document)
    check_marks(document)
    document.raise_problems("the session spec", where)
    assert isinstance(spec, SessionSpec)
    spec._path, spec._paths, spec._files = document.files[0], paths, tuple(document.files)
    return spec


def _add_defaults(tree: YamlMapping, key: str, more: Any) -> None:
    """Complete a section by what `metadata` says of the same things; empty values are left out."""
    section = tree.get(key)
    texts = (
        {name: value for name, value in more.items() if isinstance(value, str)} if isinstance(more, Mapping) else {}
    )
    if isinstance(section, YamlMapping) or (section is None and texts):
        completed = YamlMapping(getattr(section, "mark", None))
        completed.marks = getattr(section, "marks", {})
        completed.update(texts)
        completed.update({name: value for name, value in (section or {}).items() if value is not None})
        tree[key] = completed


@cache
def _text_fields() -> frozenset[str]:
    """Return the names of the fields that are text in NWB wherever they occur: `serial_number: 0042` stays text."""
    import pynwb.ecephys
    import pynwb.ophys
    from hdmf.utils import get_docval

    texts: dict[str, bool] = {}
    modules = (pynwb, pynwb.base, pynwb.device, pynwb.ecephys, pynwb.file, pynwb.image, pynwb.ophys)
    for owner in {item for module in modules for item in vars(module).values() if isinstance(item, type)}:
        construct = vars(owner).get("__init__")
        for field in get_docval(construct) if hasattr(construct, "__docval__") else ():
            texts[field["name"]] = texts.get(field["name"], True) and field["type"] is str
    return frozenset({"description", *(name for name, text in texts.items() if text)})
