"""Names of all data interfaces, read without importing one: NeuroConv's take seconds."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from nwbpipe.errors import UnknownNameError, suggest_names

ENTRY_POINT_GROUP = "nwbpipe.interfaces"
_DECLARED = re.compile(r"^@interface\([^()]*\)\nclass (\w+)", re.MULTILINE)


def is_interface(name: str) -> bool:
    """Return True if a data interface of ours, of NeuroConv or of another package has that class name."""
    return name in our_modules() or name in neuroconv_modules() or name in list_entry_points()


def make_unknown_error(name: str) -> UnknownNameError:
    """Make the error for a name that no interface has; it names the nearest ones."""
    names = sorted({*our_modules(), *neuroconv_modules(), *list_entry_points()})
    # A short name such as "SpikeGLX" is far from every class name by distance, and yet says what is meant.
    longer = [item for item in names if name and name.lower() in item.lower()][:5]
    return UnknownNameError(
        f"no data interface is called {name!r}",
        where="sources: interface",
        expected="the class name of a NeuroConv data interface, or one of " + ", ".join(sorted(our_modules())),
        found=name,
        hint=suggest_names(name, names, most=3, cutoff=0.6, also=longer) or "`nwbpipe interfaces` lists them",
    )


@cache
def our_modules() -> Mapping[str, str]:
    """Map the names of our interfaces to their modules.

    The names are read from the source text, where the decorator :func:`interface` stands: importing every module
    would take seconds, and a list kept by hand would be a second place to declare an interface.
    """
    modules = {}
    for path in sorted((Path(__file__).parent / "interfaces").glob("_*.py")):
        names = _DECLARED.findall(path.read_text(encoding="utf-8"))
        modules.update(dict.fromkeys(names, f"{__package__}.interfaces.{path.stem}"))
    return modules


@cache
def neuroconv_modules() -> Mapping[str, str]:
    """Map the names of NeuroConv's interfaces to their modules, by the text of the module that lists them."""
    package = find_spec("neuroconv")
    if package is None or not package.submodule_search_locations:
        return {}
    text = (Path(package.submodule_search_locations[0]) / "datainterfaces" / "__init__.py").read_text("utf-8")
    body = ast.parse(text).body
    lists = [
        node.value
        for node in body
        if isinstance(node, ast.Assign) and any(getattr(item, "id", "") == "interface_list" for item in node.targets)
    ]
    imports = [node for node in body if isinstance(node, ast.ImportFrom) and node.level == 1]
    homes = {alias.name: f"neuroconv.datainterfaces.{node.module}" for node in imports for alias in node.names}
    listed = {node.id for item in lists for node in ast.walk(item) if isinstance(node, ast.Name)}
    return {name: homes.get(name, "neuroconv.datainterfaces") for name in listed}


def list_entry_points() -> dict[str, EntryPoint]:
    """Return the interfaces that other packages declare, by name."""
    return _find_entry_points(tuple(sys.path))


@cache
def _find_entry_points(_path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Read them once for a path of imports: while raw files are read, files of packages are not."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
