"""Loading a session.yaml from wherever it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nwbpipe.converters.spec._fetch_spec import fetch_spec
from nwbpipe.converters.spec._load import load_spec
from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.stores import Stores


@contextmanager
def open_spec(spec: Path | str, stores: Stores | None = None, *, present: bool = True) -> Iterator[SessionSpec]:
    """Load a spec from wherever it is; see `load_spec`.

    Parameters
    ----------
    spec : path
        A local path, or a URL.
    stores : Stores, optional
        See `load_spec`.
    present : bool
        See `load_spec`.
    """
    with fetch_spec(spec, stores) as (path, places):
        yield load_spec(path, places=places, stores=stores, present=present)
