"""A session.yaml that is not on this machine: it is read here, and its sources stay where they are until needed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from nwbpipe.converters._load import load_spec
from nwbpipe.converters._paths import Places
from nwbpipe.converters._spec import SessionSpec
from nwbpipe.errors import NwbpipeError
from nwbpipe.stores import Stage, Store, Stores, is_remote, open_location, open_store

_MOST = 100  # files that one spec may extend


@contextmanager
def loaded(spec: Path | str, stores: Stores | None = None) -> Iterator[SessionSpec]:
    """Load a spec from wherever it is; see `load_spec`.

    Of one at a URL, relative paths may lead as far as the folder above the spec's own, as for a local one without a
    project file.

    Parameters
    ----------
    spec : path
        A local path, or a URL.
    stores : Stores, optional
        See `load_spec`.
    """
    if not is_remote(spec):
        yield load_spec(spec, stores=stores)
        return
    folder, name = open_location(spec)
    above, _, last = folder.root.rpartition("/")
    store, plain = (folder, name) if above.endswith("/") else (open_store(above), f"{last}/{name}")
    with Stage() as stage:
        _bring(store, plain, stage, set())
        path = stage.folder / plain
        stores = stores or Stores.from_environment({}, base=stage.folder)
        yield load_spec(path, places=Places(path.parent, stage.folder, stores, mirrored=store, stage=stage))


def _bring(store: Store, plain: str, stage: Stage, seen: set[str]) -> None:
    """Bring a spec, and what it extends, to this machine; what is wrong with it is said when it is loaded."""
    if plain in seen or len(seen) > _MOST:
        return
    seen.add(plain)
    path = stage.place(store, plain)
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
            _bring(store, other, stage, seen)
        except NwbpipeError:
            continue
