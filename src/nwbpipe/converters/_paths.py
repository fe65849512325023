"""Where a spec's paths lead: relative to its folder, or to a store, and never outside the root."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from nwbpipe.converters._values import MistakeError
from nwbpipe.errors import Problem

PROJECT_FILE = "nwbpipe.toml"
# NWBPIPE_STORE_RAW=/data/raw says where raw:// is on this machine, over what the project file says.
STORE_VARIABLE = "NWBPIPE_STORE_"
_STORE = re.compile(r"([a-z][a-z0-9_+.-]*)://(.*)", re.DOTALL)


@dataclass(frozen=True)
class Places:
    """What the paths of one spec are relative to.

    Parameters
    ----------
    folder : Path
        The spec's folder.
    root : Path
        The folder that relative paths must stay in: that of the nearest ``nwbpipe.toml`` above the spec or,
        where there is none, the parent of the spec's folder. Symbolic links below it may lead elsewhere.
    stores : dict
        Local stores of the project by name: ``raw://x`` is ``x`` in the folder of ``raw``.
    present : bool
        Whether what a path names has to be there.
    """

    folder: Path
    root: Path
    stores: dict[str, Path] = field(default_factory=dict)
    present: bool = True

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
            raise MistakeError("a path", repr(text), "the path is empty or holds a null character")
        path = self._inside(text)
        if kind != "path" and self.present:
            self._check_there(path, text, kind)
        return path

    def _inside(self, text: str) -> Path:
        match = _STORE.fullmatch(text)
        if match is None:
            base, rest, root = self.folder, text, self.root
        elif match[1] in self.stores:
            base = root = self.stores[match[1]]
            rest = match[2].lstrip("/")
        else:
            known = ", ".join(f"{name}://" for name in self.stores) or f"none; {PROJECT_FILE} declares them"
            raise MistakeError(
                f"a store of the project ({known})",
                text,
                "the store is not known or not a local folder",
                hint=f"declare it in {PROJECT_FILE}, or set {STORE_VARIABLE}{_variable(match[1])} to its folder",
            )
        path = Path(os.path.normpath(base / rest))
        if not path.is_relative_to(root):
            raise MistakeError(
                f"a path below {root}, relative to {base}",
                text,
                "the path leads outside the root",
                hint=f"move or link the data below the root, or declare a store in {PROJECT_FILE} and write store://path",
            )
        return path

    def _check_there(self, path: Path, text: str, kind: str) -> None:
        noun = {"file": "a file", "dir": "a folder"}[kind]
        if not path.exists():
            raise MistakeError(f"{noun} at {path}", f"nothing at {text}", f"{noun[2:]} not found", hint=_near(path))
        if kind == "file" and not path.is_file():
            raise MistakeError("a file", f"{text} is a folder", "the path is not a file")
        if kind == "dir" and not path.is_dir():
            raise MistakeError("a folder", f"{text} is a file", "the path is not a folder")
        if not os.access(path, os.R_OK | (os.X_OK if kind == "dir" else 0)):
            raise MistakeError(
                f"{noun} that may be read", f"no permission for {text}", f"the {noun[2:]} can't be read"
            )

    def display(self, path: Path) -> str:
        """Write a path as a spec would: with its store, or relative to the spec's folder."""
        for name, store in self.stores.items():
            if path.is_relative_to(store):
                return f"{name}://{path.relative_to(store).as_posix()}"
        return Path(os.path.relpath(path, self.folder)).as_posix()


def _near(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} is not there either"
    names = sorted(entry.name for entry in folder.iterdir())[:1000]
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else "check the name and the folder"


def places_of(spec: Path, problems: list[Problem]) -> Places:
    """Find what the paths of a spec are relative to."""
    folder = Path(os.path.abspath(spec)).parent  # noqa: PTH100 - not resolve(): links stay as they are
    project = next((above for above in (folder, *folder.parents) if (above / PROJECT_FILE).is_file()), None)
    if project is None:
        return Places(folder, folder.parent, _stores_here({}))
    return Places(folder, project, _stores_here(_stores(project / PROJECT_FILE, problems)))


def _variable(store: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", store).upper()


def _stores_here(stores: dict[str, Path]) -> dict[str, Path]:
    """Let the environment say where stores are; one that the project does not declare is named in lower case."""
    found = dict(stores)
    names = {_variable(name): name for name in stores}
    for variable, value in os.environ.items():
        if variable.startswith(STORE_VARIABLE) and value:
            suffix = variable.removeprefix(STORE_VARIABLE)
            found[names.get(suffix, suffix.lower())] = Path(os.path.abspath(Path(value).expanduser()))  # noqa: PTH100
    return found


def _stores(file: Path, problems: list[Problem]) -> dict[str, Path]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(Problem("the project file can't be read", where=str(file), found=str(error)))
        return {}
    stores = content.get("stores", {})
    profile = os.environ.get("NWBPIPE_PROFILE")
    if profile:
        stores = {**stores, **content.get("profiles", {}).get(profile, {}).get("stores", {})}
    return {
        name: Path(os.path.normpath(file.parent / Path(path).expanduser()))
        for name, path in stores.items()
        if isinstance(path, str) and not _STORE.fullmatch(path)
    }
