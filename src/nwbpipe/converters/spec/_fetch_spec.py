"""Brings a session.yaml here that is not on this machine, with what it extends; its sources stay where they are."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from nwbpipe.converters.spec._paths import SpecPaths
from nwbpipe.errors import NwbpipeError
from nwbpipe.stores import Stage, Store, Stores, is_remote, open_location, open_store
from nwbpipe.stores.s3 import canonical_url

_MOST = 100  # files that one spec may extend
_SPECS = "_"  # folder of their copies in the stage: no store has that name


@contextmanager
def fetch_spec(spec: Path | str, stores: Stores | None = None) -> Iterator[tuple[Path, SpecPaths | None]]:
    """Have a spec, and what it extends, on this machine; yield its path, and its places where it is a copy.

    Of one at a URL, relative paths may lead as far as the root of the project's store that it is in or, without
    one, the folder above the spec's own, as for a local one without a project file.
    """
    if not is_remote(spec):
        yield Path(spec), None
        return
    store, plain = _find_root(canonical_url(spec), stores)
    with Stage() as stage:
        _fetch_extended(store, plain, stage, set())
        root = stage.folder / _SPECS
        path = root / plain
        stores = stores or Stores.from_environment({}, base=stage.folder)
        yield path, SpecPaths(path.parent, root, stores, mirrored=store, stage=stage)


def _find_root(url: str, stores: Stores | None) -> tuple[Store, str]:
    """Return what a spec's relative paths must stay in, and its own path there."""
    known = [] if stores is None else [one for name in stores for one in stores.roots(name)]
    roots = [one for one in known if is_remote(one.root) and url.startswith(f"{one.root}/")]
    if roots:
        store = max(roots, key=lambda one: len(one.root))
        return store, url[len(store.root) + 1 :]
    folder, name = open_location(url)
    above, _, last = folder.root.rpartition("/")
    return (folder, name) if above.endswith("/") else (open_store(above), f"{last}/{name}")


def _fetch_extended(store: Store, plain: str, stage: Stage, seen: set[str]) -> None:
    """Bring a spec, and what it extends, to this machine; what is wrong with it is said when it is loaded."""
    if plain in seen or len(seen) > _MOST:
        return
    seen.add(plain)
    path = stage.place(store, plain, f"{_SPECS}/{plain}")
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return
    extended = content.get("extends") if isinstance(content, dict) else None
    for name in [extended] if isinstance(extended, str) else extended if isinstance(extended, list) else []:
        other = posixpath.normpath(posixpath.join(posixpath.dirname(plain), str(name)))
        if other.startswith(("..", "/")):
            continue
        try:
            _fetch_extended(store, other, stage, seen)
        except NwbpipeError:
            continue
