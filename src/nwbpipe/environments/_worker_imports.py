"""What is changed in libraries as a tool imports them.

Loaded by ``_worker.py``, in the tool's own Python: standard library only, Python 3.9.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from importlib.abc import MetaPathFinder
from types import FunctionType
from typing import Any

Execute = Callable[[Any], None]


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
    """Let numba keep the machine code of each function, beside its source, as Python keeps its own.

    SpikeInterface asks for none to be kept, and each run then compiles for half a minute. Numba knows by itself code
    of another source, version or processor. Where no folder for it can be written, all is as it was.
    """
    execute(module)
    decorators: Any = sys.modules["numba.core.decorators"]
    plain = decorators.jit

    def keep(function: Any) -> Any:
        # Nothing is compiled at all; no folder can be written, or the function is of no file.
        with contextlib.suppress(AttributeError, RuntimeError, OSError):
            function.enable_caching()
        return function

    def jit(*args: Any, **options: Any) -> Any:
        made = plain(*args, **options)
        if args and isinstance(args[0], FunctionType):
            return keep(made)
        return lambda function: keep(made(function))

    decorators.jit = module.jit = jit  # njit calls the former
