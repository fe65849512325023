"""Resolve a spec's paths: relative to its folder, or to a store, and never outside the root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_core import PydanticCustomError

from nwbpipe.converters.spec._project_file import (
    PROJECT_FILE,
    find_project_file,
    read_project_file,
    resolve_roots,
)
from nwbpipe.errors import NwbpipeError, Problem, suggest_names
from nwbpipe.machine import make_cache_folder
from nwbpipe.stores import (
    STORE_VARIABLE,
    Stage,
    Store,
    StoreEntry,
    Stores,
    is_remote,
    open_location,
    open_store,
    split_address,
)
from nwbpipe.validation import mistake

_SPECS = "_"  # folder of the copies of specs in a stage: no store has that name
_NOUNS = {"file": "a file", "dir": "a folder"}


@dataclass(frozen=True)
class SpecPaths:
    """Base folders and stores that the paths of one spec refer to.

    What lies in a store that is not on this machine gets a path in a folder of its own (`stage`), and is brought
    there by `stage_remote`.

    Parameters
    ----------
    folder : Path
        The spec's folder.
    root : Path
        The folder that relative paths must stay in: that of the nearest ``nwbpipe.toml`` above the spec or,
        where there is none, the root of the project's store that it lies in, or the parent of the spec's folder.
        Symbolic links below it may lead to each other, and into stores.
    stores : Stores
        Stores of the project: ``raw://x`` is ``x`` in the first root of ``raw`` that has it.
    mirrored : Store, optional
        What `root` stands for, if the spec itself is not on this machine.
    present : bool
        True if what a path names has to exist.
    is_draft : bool
        True if only what needs neither the import of an interface, which takes seconds, nor the network is checked.
    """

    folder: Path
    root: Path
    stores: Stores
    mirrored: Store | None = None
    present: bool = True
    is_draft: bool = False
    stage: Stage = field(default_factory=Stage)
    _remote: dict[Path, tuple[Store, str]] = field(default_factory=dict)

    def resolve(self, text: str, kind: str) -> Path:
        """Return the absolute path that a text of the spec means.

        Parameters
        ----------
        text : str
            As it was written.
        kind : {"file", "dir", "path"}
            What has to exist; "path" may be missing.

        Raises
        ------
        PydanticCustomError
            If it leads outside, or what it names is missing or can't be read.
        """
        if not text or "\0" in text:
            raise mistake("the path is empty or holds a null character", expected="a path")
        if split_address(text) is None and not is_remote(text):
            path = self._join_below(self.folder, text, self.root)
            store = self.mirrored
            plain = path.relative_to(self.root).as_posix() if store is not None else ""
        else:
            path, store, plain = self._resolve_in_store(text)
        if self.present:
            if store is not None:
                if not self.is_draft:
                    self._check_remote(store, plain, text, kind)
            elif kind != "path":
                self._check_local(path, text, kind)
        if store is not None:
            self._remote[path] = (store, plain)
        return path

    def _resolve_in_store(self, text: str) -> tuple[Path, Store | None, str]:
        """Return the path of what is in a store; and the store and the path there, if that is not on this machine."""
        name, subpath = split_address(text) or ("", "")
        if name not in self.stores:
            known_stores = ", ".join(f"{store}://" for store in self.stores) or f"none; {PROJECT_FILE} declares them"
            hint = f"declare it in {PROJECT_FILE}, or set {STORE_VARIABLE}{name.upper() or 'NAME'} to its root"
            raise mistake("the store is not known", expected=f"a store of the project ({known_stores})", hint=hint)
        candidates: list[tuple[Path, Store | None, str]] = []
        for store in self.stores.roots(name):
            remote = is_remote(store.root)
            base = self.stage.folder / name if remote else Path(store.root)
            path = self._join_below(base, subpath, base)
            plain = path.relative_to(base).as_posix()
            candidate = (path, store if remote else None, plain)
            if plain == "." or (remote and len(self.stores.roots(name)) == 1) or _exists(store, plain):
                return candidate  # that of the only root is looked at later
            candidates.append(candidate)
        return candidates[0]

    def list_roots(self) -> list[Path]:
        """Return the folders that raw files may lie in, wherever links lead."""
        stores = (store.root for name in self.stores for store in self.stores.roots(name))
        stages = (self.stage.folder, make_cache_folder()) if self._remote or self.mirrored is not None else ()
        return [self.root, *(Path(root) for root in stores if not is_remote(root)), *stages]

    @staticmethod
    def _join_below(base: Path, rest: str, root: Path) -> Path:
        path = Path(os.path.normpath(base / rest))
        if not path.is_relative_to(root):
            hint = f"move the data below the root, or declare a store in {PROJECT_FILE} and write store://path"
            expected = f"a path below {root}, relative to {base}"
            raise mistake("the path leads outside the root", expected=expected, hint=hint)
        return path

    def _check_local(self, path: Path, text: str, kind: str) -> None:
        noun = _NOUNS[kind]
        try:
            exists = path.exists()
        except OSError as error:  # a name that no file can have
            raise mistake(f"the {noun[2:]} can't be read", expected=noun, found=str(error.strerror)) from error
        if not exists:
            raise _missing_path(noun, path, text, hint=_suggest_near(path))
        _check_kind(kind, text, is_file=path.is_file(), is_folder=path.is_dir())
        if not os.access(path, os.R_OK | (os.X_OK if kind == "dir" else 0)):
            message, expected = f"the {noun[2:]} can't be read", f"{noun} that may be read"
            raise mistake(message, expected=expected, found=f"no permission for {text}")

    @staticmethod
    def _check_remote(store: Store, plain: str, text: str, kind: str) -> None:
        if plain == "." or not _exists(store, plain):
            raise _missing_path(_NOUNS.get(kind, "a file or folder"), f"{store.root}/{plain}", text)
        try:
            is_file = any(entry.path == plain for entry in _list_folder(store, plain))
        except NwbpipeError as error:
            raise mistake(error.problem.what, expected=_NOUNS.get(kind), hint=error.problem.hint) from error
        _check_kind(kind, text, is_file=is_file, is_folder=not is_file)

    def fetch(self, file: Path) -> None:
        """Bring a file of the spec's root, if the spec is not on this machine.

        Raises
        ------
        FileAccessError
            If it can't be read, or there is no space.
        """
        if self.mirrored is not None and not file.exists():
            plain = file.relative_to(self.root).as_posix()
            self.stage.place(self.mirrored, plain, f"{_SPECS}/{plain}")

    @contextmanager
    def stage_remote(self) -> Iterator[None]:
        """Bring what is not on this machine to the paths that `resolve` gave it, while the block lasts.

        A file comes with its companions: the files beside it whose names begin with its own, without the extension
        (``x.ap.meta`` with ``x.ap.bin``).

        Raises
        ------
        FileAccessError
            If it can't be read, or there is no space.
        """
        if not self._remote:
            yield
            return
        # The stage of a spec that is not on this machine was made for the spec.
        with self.stage if self.mirrored is None else nullcontext():
            for path, (store, plain) in self._remote.items():
                folder = path.parent.relative_to(self.stage.folder).as_posix()
                if plain in (siblings := {entry.path for entry in _list_folder(store, plain)}):
                    stem = plain.rpartition("/")[2].rpartition(".")[0] or plain.rpartition("/")[2]
                    for sibling in sorted(siblings):
                        name = sibling.rpartition("/")[2]
                        if (sibling == plain or _is_companion(name, stem)) and not (path.parent / name).exists():
                            self.stage.place(store, sibling, f"{folder}/{name}")
                elif not path.exists():
                    self.stage.place(store, plain, f"{folder}/{path.name}")
            yield

    def original_location(self, path: Path) -> str:
        """Return the path or URL of a file or folder that `resolve` gave a path, or that the spec was read from."""
        if path in self._remote:
            store, plain = self._remote[path]
            return store.location(plain)
        resolved, root = path.resolve(), self.root.resolve()
        if self.mirrored is not None and resolved.is_relative_to(root):
            return self.mirrored.location(resolved.relative_to(root).as_posix())
        return str(path)

    def display(self, path: Path) -> str:
        """Write a path as a spec would: with its store, or relative to the spec's folder."""
        origin = self.original_location(path)
        for name in self.stores if is_remote(origin) else ():
            for store in self.stores.roots(name):
                if origin.startswith(f"{store.root}/"):
                    return f"{name}://{origin[len(store.root) + 1 :]}"
        for name in self.stores:
            for base in (self.stage.folder / name, *(Path(store.root) for store in self.stores.roots(name))):
                if path.is_relative_to(base):
                    return f"{name}://{path.relative_to(base).as_posix()}"
        return Path(os.path.relpath(path, self.folder)).as_posix()


def _list_folder(store: Store, plain: str) -> list[StoreEntry]:
    """Return the files in the folder of a path, itself included if it is one."""
    folder = plain.rpartition("/")[0]
    return list(store.list(folder, deep=False))


def _is_companion(name: str, stem: str) -> bool:
    return name.startswith(stem) and not name[len(stem) : len(stem) + 1].isalnum()


def _exists(store: Store, plain: str) -> bool:
    try:
        return store.exists(plain)
    except NwbpipeError as error:
        raise mistake(error.problem.what, expected="a file in the store", hint=error.problem.hint) from error


def _check_kind(kind: str, text: str, *, is_file: bool, is_folder: bool) -> None:
    if kind == "file" and not is_file:
        raise mistake("the path is not a file", expected="a file", found=f"{text} is a folder")
    if kind == "dir" and not is_folder:
        raise mistake("the path is not a folder", expected="a folder", found=f"{text} is a file")


def _missing_path(noun: str, place: object, text: str, hint: str | None = None) -> PydanticCustomError:
    return mistake(f"{noun[2:]} not found", expected=f"{noun} at {place}", found=f"nothing at {text}", hint=hint)


def _suggest_near(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist either"
    names = sorted(entry.name for entry in folder.iterdir())[:1000]
    return suggest_names(path.name, names, most=3) or "check the name and the folder"


def find_spec_paths(spec: Path, problems: list[Problem], stores: Stores | None = None) -> SpecPaths:
    """Find what the paths of a spec on this machine are relative to.

    Without `stores`, those of the nearest ``nwbpipe.toml`` above it count; its mistakes are added to `problems`.
    """
    folder = Path(os.path.abspath(spec)).parent  # noqa: PTH100 - not resolve(): links stay as they are
    file = find_project_file(folder)
    if stores is not None:
        roots = (Path(store.root) for name in stores for store in stores.roots(name))
        above = max((root for root in roots if folder.is_relative_to(root)), default=folder.parent)
        return SpecPaths(folder, file.parent if file is not None else above, stores)
    if file is None:
        return SpecPaths(folder, folder.parent, Stores.from_environment({}, base=folder))
    roots_of: dict[str, tuple[str, ...]] = {}
    try:
        document = read_project_file(file)
        _, roots_of = resolve_roots(document)
        problems += document.problems
    except NwbpipeError as error:
        problems.append(error.problem)
    return SpecPaths(folder, file.parent, Stores(roots_of, base=file.parent))


def find_remote_paths(url: str, stores: Stores | None, stage: Stage) -> tuple[Path, SpecPaths]:
    """Find where the copy of a spec at a URL has its place in a stage, and what its paths are relative to.

    Relative paths may lead as far as the root of the project's store that the spec is in or, without one, the
    folder above the spec's own, as for a local one without a project file.
    """
    roots = [] if stores is None else [root for name in stores for root in stores.roots(name)]
    roots = [root for root in roots if is_remote(root.root) and url.startswith(f"{root.root}/")]
    if roots:
        store = max(roots, key=lambda root: len(root.root))
        plain = url[len(store.root) + 1 :]
    else:
        store, plain = open_location(url)
        above, _, last = store.root.rpartition("/")
        if not above.endswith("/"):
            store, plain = open_store(above), f"{last}/{plain}"
    root = stage.folder / _SPECS
    path = root / plain
    stores = stores or Stores.from_environment({}, base=stage.folder)
    return path, SpecPaths(path.parent, root, stores, mirrored=store, stage=stage)
