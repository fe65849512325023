"""What is changed in libraries as a tool imports them.

Loaded by ``_worker.py``, in the tool's own Python: standard library only, Python 3.9.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
import uuid
from collections.abc import Callable
from functools import partial
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import FunctionType
from typing import Any

Execute = Callable[[Any], None]
PACKAGE_FOLDERS = {"site-packages", "dist-packages"}  # what is elsewhere may change without being installed again


class ImportFix(MetaPathFinder):
    """Finds a module as everyone does, but lets `run` execute it, given the loader's function and the module."""

    def __init__(self, name: str, run: Callable[[Execute, Any], None]) -> None:
        self._name, self._run = name, run
        self._looking = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find the module, as often as it is looked for: some libraries look before they import."""
        if name != self._name or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(self._run, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Watch over the imports of torchvision and numba."""
    sys.meta_path[:0] = [
        ImportFix("torchvision", import_without_operators),
        ImportFix("numba", import_with_kept_code),
    ]


def import_without_operators(execute: Execute, module: Any) -> None:
    """Help a torchvision that can't be imported beside this torch.

    Some of its wheels are built for CUDA: beside a torch without CUDA their operators can't be loaded, and importing
    it fails as one of them is looked up. What we run needs none of them; their names are enough. Where importing it
    succeeds, nothing is done.
    """
    try:
        execute(module)
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        import torch

        print("torchvision does not fit this torch: its operators are left out", flush=True)
        for part in [module_name for module_name in sys.modules if module_name.startswith("torchvision.")]:
            del sys.modules[part]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        module.__library__ = library  # its definitions live as long as it does
        execute(module)


def import_with_kept_code(execute: Execute, module: Any) -> None:
    """Let numba keep the machine code of each function of an installed package, beside its source.

    SpikeInterface asks for none to be kept, and each run then compiles for half a minute. Numba knows by itself code
    of another source file, version or processor, but not that a function of another file changed which it has
    compiled into this one: the code is that of the packages as they are installed now. Where no folder for it can be
    written, all is as it was.
    """
    execute(module)
    decorators: Any = sys.modules["numba.core.decorators"]
    caching: Any = sys.modules["numba.core.caching"]
    plain, packages = decorators.jit, digest_packages()

    class KeptCode(caching.FunctionCache):  # type: ignore[misc]
        def __init__(self, function: FunctionType) -> None:
            super().__init__(function)
            base = f"{self._impl.filename_base}-{packages}"
            stamp = self._impl.locator.get_source_stamp()
            self._cache_file = caching.IndexDataCacheFile(self._cache_path, base, stamp)
            # Two processes that save at once would give two signatures the same name.
            self._cache_file._data_name_pattern = f"{base}.{uuid.uuid4().hex[:8]}{{number:d}}.nbc"

    def keep(function: Any) -> Any:
        # Nothing is compiled at all; no folder can be written, or the function is of no file.
        with contextlib.suppress(AttributeError, RuntimeError, OSError):
            source = function.py_func
            # Numba finds nothing again of a function that has another compiled one in its closure.
            if source.__closure__ is None and not PACKAGE_FOLDERS.isdisjoint(Path(source.__code__.co_filename).parts):
                function._cache = KeptCode(source)
        return function

    def jit(*args: Any, **options: Any) -> Any:
        made = plain(*args, **options)
        if args and isinstance(args[0], FunctionType):
            return keep(made)
        return lambda function: keep(made(function))

    decorators.jit = module.jit = jit  # njit calls the former


def digest_packages() -> str:
    """Return a digest of the packages that are installed: their names, versions, and when each was installed."""
    packages = []
    for folder in sys.path:
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            packages += [
                f"{entry.path} {entry.stat().st_mtime_ns}"
                for entry in entries
                if entry.name.endswith((".dist-info", ".egg-info"))
            ]
    return hashlib.sha256("\n".join(sorted(packages)).encode("utf-8", "replace")).hexdigest()[:16]
