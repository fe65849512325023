"""Where a spec's paths lead: relative to its folder, or to a store, and never outside the root."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from nwbpipe.converters.spec._values import SpecValueError
from nwbpipe.errors import NwbpipeError, Problem
from nwbpipe.stores import STORE_VARIABLE, Stage, Store, StoreEntry, Stores, is_remote, split_address

PROJECT_FILE = "nwbpipe.toml"


@dataclass(frozen=True)
class SpecPaths:
    """What the paths of one spec are relative to.

    What lies in a store that is not on this machine gets a path in a folder of its own (`stage`), and is brought
    there by `staged`.

    Parameters
    ----------
    folder : Path
        The spec's folder.
    root : Path
        The folder that relative paths must stay in: that of the nearest ``nwbpipe.toml`` above the spec or,
        where there is none, the root of the project's store that it lies in, or the parent of the spec's folder.
        Symbolic links below it may lead elsewhere.
    stores : Stores
        Stores of the project: ``raw://x`` is ``x`` in the first root of ``raw`` that has it.
    mirrored : Store, optional
        What `root` stands for, if the spec itself is not on this machine.
    present : bool
        Whether what a path names has to be there.
    """

    folder: Path
    root: Path
    stores: Stores
    mirrored: Store | None = None
    present: bool = True
    stage: Stage = field(default_factory=Stage)
    _remote: dict[Path, tuple[Store, str]] = field(default_factory=dict)

    def resolve(self, text: str, kind: str) -> Path:
        """Make an absolute path of a spec's text.

        Parameters
        ----------
        text : str
            As it was written.
        kind : {"file", "dir", "path"}
            What has to be there; "path" may be missing.

        Raises
        ------
        MistakeError
            If it leads outside, or what it names is missing or can't be read.
        """
        if not text or "\0" in text:
            raise SpecValueError("a path", repr(text), "the path is empty or holds a null character")
        if split_address(text) is None and not is_remote(text):
            path = self._join_below(self.folder, text, self.root, text)
            store = self.mirrored
            plain = path.relative_to(self.root).as_posix() if store is not None else ""
        else:
            path, store, plain = self._resolve_in_store(text)
        if store is not None:
            if self.present:
                self._check_remote(store, plain, text, kind)
            self._remote[path] = (store, plain)
        elif kind != "path" and self.present:
            self._check_local(path, text, kind)
        return path

    def _resolve_in_store(self, text: str) -> tuple[Path, Store | None, str]:
        """Return the path of what is in a store; and the store and the path there, if that is not on this machine."""
        found = split_address(text)
        if found is None or found[0] not in self.stores:
            known = ", ".join(f"{name}://" for name in self.stores) or f"none; {PROJECT_FILE} declares them"
            variable = STORE_VARIABLE + (found[0] if found else "NAME").upper()
            raise SpecValueError(
                f"a store of the project ({known})",
                text,
                "the store is not known",
                hint=f"declare it in {PROJECT_FILE}, or set {variable} to its root",
            )
        name, rest = found
        first: tuple[Path, Store | None, str] | None = None
        for store in self.stores.roots(name):
            remote = is_remote(store.root)
            base = self.stage.folder / name if remote else Path(store.root)
            path = self._join_below(base, rest, base, text)
            plain = path.relative_to(base).as_posix()
            try:
                only = remote and len(self.stores.roots(name)) == 1  # whether it is there is looked at later
                there = plain == "." or only or store.exists(plain)
            except NwbpipeError as error:
                raise SpecValueError(
                    "a file in the store", text, error.problem.what, error.problem.hint or ""
                ) from error
            found_here = (path, store if remote else None, plain)
            if there:
                return found_here
            first = first or found_here
        assert first is not None
        return first

    @staticmethod
    def _join_below(base: Path, rest: str, root: Path, text: str) -> Path:
        path = Path(os.path.normpath(base / rest))
        if not path.is_relative_to(root):
            raise SpecValueError(
                f"a path below {root}, relative to {base}",
                text,
                "the path leads outside the root",
                hint=f"move or link the data below the root, or declare a store in {PROJECT_FILE} and write store://path",
            )
        return path

    def _check_local(self, path: Path, text: str, kind: str) -> None:
        noun = {"file": "a file", "dir": "a folder"}[kind]
        if not path.exists():
            raise SpecValueError(
                f"{noun} at {path}", f"nothing at {text}", f"{noun[2:]} not found", hint=_suggest_near(path)
            )
        if kind == "file" and not path.is_file():
            raise SpecValueError("a file", f"{text} is a folder", "the path is not a file")
        if kind == "dir" and not path.is_dir():
            raise SpecValueError("a folder", f"{text} is a file", "the path is not a folder")
        if not os.access(path, os.R_OK | (os.X_OK if kind == "dir" else 0)):
            raise SpecValueError(
                f"{noun} that may be read", f"no permission for {text}", f"the {noun[2:]} can't be read"
            )

    @staticmethod
    def _check_remote(store: Store, plain: str, text: str, kind: str) -> None:
        noun = {"file": "a file", "dir": "a folder"}.get(kind, "a file or folder")
        try:
            there = plain != "." and store.exists(plain)
            is_file = there and any(one.path == plain for one in _list_folder(store, plain))
        except NwbpipeError as error:
            raise SpecValueError(noun, text, error.problem.what, error.problem.hint or "") from error
        if not there:
            raise SpecValueError(f"{noun} at {store.root}/{plain}", f"nothing at {text}", f"{noun[2:]} not found")
        if kind == "file" and not is_file:
            raise SpecValueError("a file", f"{text} is a folder", "the path is not a file")
        if kind == "dir" and is_file:
            raise SpecValueError("a folder", f"{text} is a file", "the path is not a folder")

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
                if plain in (beside := {one.path for one in _list_folder(store, plain)}):
                    stem = plain.rpartition("/")[2].rpartition(".")[0] or plain.rpartition("/")[2]
                    for one in sorted(beside):
                        name = one.rpartition("/")[2]
                        if (one == plain or _is_companion(name, stem)) and not (path.parent / name).exists():
                            self.stage.place(store, one, f"{folder}/{name}")
                elif not path.exists():
                    self.stage.place(store, plain, f"{folder}/{path.name}")
            yield

    def original_location(self, path: Path) -> str:
        """Return where a file or folder is whose path `resolve` gave, or that the spec was read from: path or URL."""
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
            for one in self.stores.roots(name):
                if origin.startswith(f"{one.root}/"):
                    return f"{name}://{origin[len(one.root) + 1 :]}"
        for name in self.stores:
            for base in (self.stage.folder / name, *(Path(one.root) for one in self.stores.roots(name))):
                if path.is_relative_to(base):
                    return f"{name}://{path.relative_to(base).as_posix()}"
        return Path(os.path.relpath(path, self.folder)).as_posix()


def _list_folder(store: Store, plain: str) -> list[StoreEntry]:
    """Files in the folder of a path, itself included if it is one."""
    folder = plain.rpartition("/")[0]
    return list(store.list(folder, deep=False))


def _is_companion(name: str, stem: str) -> bool:
    return name.startswith(stem) and not name[len(stem) : len(stem) + 1].isalnum()


def _suggest_near(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} is not there either"
    names = sorted(entry.name for entry in folder.iterdir())[:1000]
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else "check the name and the folder"


def spec_paths_of(spec: Path, problems: list[Problem], stores: Stores | None = None) -> SpecPaths:
    """Find what the paths of a spec are relative to.

    Without `stores`, those of the nearest ``nwbpipe.toml`` above it count.
    """
    folder = Path(os.path.abspath(spec)).parent  # noqa: PTH100 - not resolve(): links stay as they are
    project = next((above for above in (folder, *folder.parents) if (above / PROJECT_FILE).is_file()), None)
    if stores is not None:
        roots_above = [
            root
            for name in stores
            for root in (Path(store.root) for store in stores.roots(name))
            if folder.is_relative_to(root)
        ]
        return SpecPaths(folder, project or max(roots_above, default=folder.parent), stores)
    roots = {} if project is None else _read_roots(project / PROJECT_FILE, problems)
    try:
        stores = Stores.from_environment(roots, base=project or folder)
    except NwbpipeError as error:
        problems.append(replace(error.problem, where=f"{project}/{PROJECT_FILE}: stores"))
        stores = Stores({}, base=folder)
    return SpecPaths(folder, project or folder.parent, stores)


def _read_roots(file: Path, problems: list[Problem]) -> dict[str, str | Sequence[str]]:
    """Read the roots of the profile's stores."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(Problem("the project file can't be read", where=str(file), found=str(error)))
        return {}
    stores = content.get("stores", {})
    profile = os.environ.get("NWBPIPE_PROFILE")
    profiles = content.get("profiles", {})
    if profile and profiles and profile not in profiles:
        what, known = f"there is no profile {profile!r}", ", ".join(profiles)
        problems.append(Problem(what, where=f"{file}: profiles", expected=known, hint="correct NWBPIPE_PROFILE"))
    if profile:
        stores = {**stores, **profiles.get(profile, {}).get("stores", {})}
    return {name: root for name, root in stores.items() if isinstance(root, str | list)}
