"""A workaround for the time that NeuroConv takes to import all of its interfaces, of which a session needs a few."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_NAME = "neuroconv.datainterfaces"
_loading = threading.RLock()


def defer_interfaces(modules: Mapping[str, str]) -> None:
    """Let ``neuroconv.datainterfaces`` import each interface as it is asked for, and all others with its lists.

    If it was imported before, nothing is done.

    Parameters
    ----------
    modules : mapping of str to str
        The modules of the interfaces, by class name.

    Upstream: not reported as of 2026-11. Seen in NeuroConv 0.10.2.
    """
    with _loading:
        spec = None if _NAME in sys.modules else find_spec(_NAME)
        if spec is None or spec.loader is None:
            return
        package = module_from_spec(spec)
        package.__class__ = _DeferredPackage
        package.__dict__["_modules"] = dict(modules)
        sys.modules[_NAME] = package
        sys.modules["neuroconv"].datainterfaces = package  # type: ignore[attr-defined]


class _DeferredPackage(ModuleType):
    """A package whose own code runs when something is asked for that is not an interface."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        home = self.__dict__.get("_modules", {}).get(name)
        if home is not None and home != _NAME:
            self.__dict__[name] = getattr(import_module(home), name)
            return self.__dict__[name]
        with _loading:
            if self.__class__ is _DeferredPackage:
                # While its code runs it is an ordinary package: what is not there yet is missing.
                self.__class__ = ModuleType  # type: ignore[assignment]
                try:
                    self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
                except BaseException:
                    self.__class__ = _DeferredPackage
                    raise
        try:
            return self.__dict__[name]
        except KeyError:
            msg = f"module {_NAME!r} has no attribute {name!r}"
            raise AttributeError(msg) from None
