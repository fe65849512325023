"""Find objects by their old names, which keep working for one release, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def find_old_names(module: str, new_places: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a module that had other names.

    Parameters
    ----------
    module : str
        Name of the module.
    new_places : mapping of str to str
        By old name: the new module and name, such as ``nwbpipe.review.StepCost``.
    """

    def find(name: str) -> Any:
        if name not in new_places:
            msg = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(msg)
        new_module, _, new_name = new_places[name].rpartition(".")
        msg = f"{module}.{name} will be removed in the next release: use {new_module}.{new_name}"
        warnings.warn(msg, FutureWarning, stacklevel=2)
        return getattr(import_module(new_module), new_name)

    return find
