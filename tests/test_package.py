"""The package as a whole: its public surface, its rooms and their order, and its errors."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nwbpipe
from nwbpipe import errors

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "nwbpipe"
SOURCES = sorted(PACKAGE.rglob("*.py"))
# `nwbpipe_kit`, beside the package, imports nothing of it: any room may use it.

# What each room may import. They are listed from the bottom to the top; a room that is not here fails the test.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "disk": {"errors"},
    "machine": {"errors"},
    "validation": {"errors"},
    "stores": {"errors", "machine"},
    "files": {"errors", "stores", "machine"},
    "extensions": {"errors"},
    "provenance": {"errors", "machine", "stores", "files", "extensions"},
    "foreign": {"errors"},
    "nwb_builders": {"errors", "foreign"},
    "nwb_zarr": {"errors", "extensions", "foreign"},
    "quality": {"errors", "validation"},
    "environments": {"errors", "machine"},
    "processors": {"errors", "machine", "validation", "provenance", "nwb_builders", "environments", "quality"},
    "session": {"errors", "validation", "stores", "files", "extensions", "nwb_zarr", "provenance"},
    "simulate": {"errors", "extensions", "provenance", "processors"},
    "converters": {
        "errors",
        "machine",
        "validation",
        "foreign",
        "stores",
        "files",
        "session",
        "provenance",
        "nwb_builders",
        "extensions",
    },
    "run": {"errors", "machine", "stores", "files", "session", "provenance", "environments", "processors"},
    "review": {"errors", "stores", "files", "session", "provenance", "nwb_builders", "processors", "quality", "run"},
    "export": {
        "errors",
        "validation",
        "nwb_zarr",
        "stores",
        "files",
        "extensions",
        "session",
        "provenance",
        "environments",
        "processors",
        "run",
        "catalog",
    },
    "catalog": {"errors", "machine", "stores", "session", "provenance"},
    "project": {
        "errors",
        "machine",
        "validation",
        "stores",
        "files",
        "session",
        "provenance",
        "environments",
        "processors",
        "quality",
        "converters",
        "run",
        "review",
        "catalog",
        "export",
    },
    "report": {"errors", "machine", "stores", "files", "session", "provenance", "processors", "review", "project"},
    "serve": {
        "environments",
        "errors",
        "disk",
        "machine",
        "validation",
        "stores",
        "files",
        "session",
        "provenance",
        "converters",
        "run",
        "review",
        "project",
        "report",
    },
    "proposals": {"errors", "foreign", "stores", "converters"},
    "demo": {
        "errors",
        "session",
        "provenance",
        "environments",
        "processors",
        "converters",
        "run",
        "project",
        "report",
        "simulate",
    },
    "publish": {
        "errors",
        "machine",
        "validation",
        "stores",
        "files",
        "session",
        "provenance",
        "converters",
        "project",
    },
    # Old names, kept for one release.
    "_old_names": set(),
    "engine": {"_old_names"},
    "session_file": {"_old_names"},
}
for room in ROOMS.keys() - {"errors", "_old_names", "engine", "session_file"}:
    ROOMS[room] |= {"disk"}
ROOMS["quality"] |= {"_old_names"}
ROOMS["simulate"] |= {"_old_names"}
ROOMS["cli"] = ROOMS["testing"] = set(ROOMS)
ROOMS["__main__"] = {"cli"}


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, lazily or for its types too, with the line."""
    for found in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(found, ast.Import):
            yield from ((alias.name, found.lineno) for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            if found.level:  # of a part that has another name in a tool's Python
                assert path in TOOL_SIDE, f"{path}:{found.lineno}: a relative import"
                assert found.level == 1, f"{path}:{found.lineno}: an import from outside of the folder"
                continue
            yield str(found.module), found.lineno
            if found.module == "nwbpipe":
                yield from ((f"nwbpipe.{alias.name}", found.lineno) for alias in found.names)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip()


# The public surface -----------------------------------------------------------------------------------------


def test_the_public_names_are_sorted_and_there() -> None:
    assert nwbpipe.__all__ == sorted(nwbpipe.__all__)
    for name in nwbpipe.__all__:
        assert inspect.getdoc(getattr(nwbpipe, name)), f"nwbpipe.{name} is not documented"
    assert set(nwbpipe.__all__) <= set(dir(nwbpipe))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = nwbpipe.nothing_of_that_name


def test_the_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert nwbpipe.__version__ == version("nwbpipe")


HEAVY = ("numpy", "h5py", "pynwb", "hdmf", "neuroconv", "spikeinterface", "pandas", "scipy", "pydantic", "torch")


@pytest.mark.parametrize("module", ["nwbpipe", "nwbpipe.errors", "nwbpipe.cli"])
def test_importing_is_light(module: str) -> None:
    loaded = python(f"import {module}, sys; print(*sorted(set({HEAVY!r}) & set(sys.modules)))")
    assert loaded == ""


@pytest.mark.parametrize(
    "module", ["nwbpipe.processors", "nwbpipe.converters", "nwbpipe.stores", "nwbpipe.files", "nwbpipe.provenance"]
)
def test_importing_a_room_imports_no_pynwb(module: str) -> None:
    loaded = python(f"import {module}, sys; print(*{{'pynwb', 'neuroconv', 'spikeinterface'}} & set(sys.modules))")
    assert loaded == ""


def test_the_state_of_a_project_is_told_without_hdmf_and_pandas() -> None:
    heavy = {"pynwb", "hdmf", "pandas", "scipy", "neuroconv", "distributed", "dask", "watchfiles", "rich"}
    assert python(f"import nwbpipe.project, sys; print(*{heavy!r} & set(sys.modules))") == ""


# The rooms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    room = room_of(path)
    if not room:
        return  # the package's own __init__ shows what the rooms offer
    assert room in ROOMS, f"a new room: say in ROOMS what {room} may import"
    for module, line in imports(path):
        if not module.startswith("nwbpipe."):
            continue
        other = module.split(".")[1]
        known = other in ROOMS or other == "__version__"
        assert known, f"{path}:{line}: there is no room {other}"
        allowed = other in (room, "__version__") or other in ROOMS[room]
        assert allowed, f"{path}:{line}: {room} must not import {module}"


COMPUTE = [path for path in SOURCES if path.name.endswith("_compute.py")]


def parts_of(path: Path) -> set[Path]:
    """Files beside a compute module that it imports, directly or not."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names = {
        name
        for node in tree
        if isinstance(node, ast.ImportFrom) and node.level
        for name in ([node.module] if node.module else [alias.name for alias in node.names])
    }
    parts = {path.with_name(f"{name}.py") for name in names}
    return parts.union(*map(parts_of, parts))


PARTS = sorted(set().union(*map(parts_of, COMPUTE)) - set(COMPUTE))
KIT = sorted((ROOT / "src" / "nwbpipe_kit").glob("*.py"))
WORKER = sorted((PACKAGE / "environments").glob("_worker*.py"))
TOOL_SIDE = [*COMPUTE, *PARTS, *KIT, *WORKER, PACKAGE / "environments" / "_probe.py"]


def test_there_are_compute_modules() -> None:
    assert len(COMPUTE) >= 3
    assert len(KIT) >= 3


@pytest.mark.parametrize("path", TOOL_SIDE, ids=lambda path: path.name)
def test_what_runs_in_a_tools_python_imports_nothing_of_ours(path: Path) -> None:
    ours = {"nwbpipe", "pynwb", "hdmf", "neuroconv", "pydantic", "typer", "rich", "filelock", "platformdirs"}
    for module, line in imports(path):
        assert module.split(".")[0] not in ours, f"{path}:{line}: imports {module}"
    # The oldest Python that a tool may run on.
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


@pytest.mark.parametrize("folder", sorted({path.parent for path in COMPUTE}), ids=lambda folder: folder.name)
def test_compute_modules_load_where_nwbpipe_is_not_installed(folder: Path, tmp_path: Path) -> None:
    """All of a folder in one process: what they import takes seconds."""
    hidden = ("nwbpipe", "pynwb", "hdmf", "neuroconv")  # not pydantic: SpikeInterface itself needs it
    worker = PACKAGE / "environments" / "_worker.py"
    packages = {"nwbpipe_kit": str(KIT[0].parent), "nwbpipe_compute": str(folder)}
    modules = [f"nwbpipe_compute.{path.stem}" for path in COMPUTE if path.parent == folder]
    code = (
        "import importlib, importlib.util, sys\n"
        "from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder\n"
        "from pathlib import Path\n"
        "class Hiding(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {hidden!r}: return None\n"
        "        # The kit is found in the worker's folder alone.\n"
        f"        return super().find_spec(name, [{str(tmp_path)!r}] if name == 'nwbpipe_kit' else path, target)\n"
        "sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Hiding]\n"
        "assert importlib.util.find_spec('nwbpipe') is None\n"
        f"spec = importlib.util.spec_from_file_location('worker', {str(worker)!r})\n"
        "worker = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(worker)\n"
        "assert importlib.util.find_spec('nwbpipe_kit') is None\n"
        f"worker.add_packages(Path({str(tmp_path)!r}), {packages!r})\n"
        "importlib.invalidate_caches()\n"
        f"print([name for name in {modules!r} if not callable(importlib.import_module(name).compute)])"
    )
    assert python(code) == "[]"


# The text ---------------------------------------------------------------------------------------------------


def tracked() -> list[Path]:
    """Text files that git knows; without git, those of the folders that we write in."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        paths = [ROOT / name for name in done.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        folders = ("src", "tests", "docs", "benchmarks", "examples")
        paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_stay_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{path} has {lines} lines: divide it"


def test_no_path_of_a_machine_and_no_package_host_is_in_a_file() -> None:
    paths = tracked()
    assert len(paths) > 50
    # Put together here, so that this file does not name them.
    patterns = {
        "a home folder": r"(?<![\w.])/(?:(?:home|Users)/(?!user\b|you\b|lab\b|jane\b|someone\b)|root/\.)\w+",
        "a folder of one machine": r"(?<![\w.])/wo" + r"rk/\w+",
        "a package host": r"https?://[^\s\"'<>]*(?:pypi|pythonhosted|artifactory|devpi|/simple/)[^\s\"'<>]*",
        "an option for a package host": r"--(?:extra-)?index-url[ =]\S|--find-links[ =]\S",
    }
    found = [
        f"{path.relative_to(ROOT)}:{number}: {what}: {line.strip()[:100]}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        for what, pattern in patterns.items()
        if re.search(pattern, line)
    ]
    assert not found, "\n".join(found)


# The errors -------------------------------------------------------------------------------------------------


def error_classes() -> list[type[errors.NwbpipeError]]:
    members = [one for _, one in inspect.getmembers(errors, inspect.isclass)]
    return [one for one in members if issubclass(one, errors.NwbpipeError)]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [one.__dict__.get("code") for one in error_classes()]
    assert all(re.fullmatch(r"NP\d{3}", str(code)) for code in codes)
    assert len(codes) == len(set(codes))


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    assert errors.__doc__
    drawn: dict[str, tuple[str | None, str | None]] = {}
    above: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"^([\s│├└─]*)(\w+Error)\b\s*(NP\d{3})?", line)
        if not match:
            continue
        depth = len(match[1])
        above = [one for one in above if one[0] < depth]
        drawn[match[2]] = (above[-1][1] if above else None, match[3])
        above.append((depth, match[2]))
    assert set(drawn) == {one.__name__ for one in error_classes()}
    for one in error_classes():
        parent, code = drawn[one.__name__]
        assert parent == (one.__base__.__name__ if one is not errors.NwbpipeError else None), one
        assert code in (one.code, None), one
        assert code or one.code.endswith("00"), f"{one.__name__} is drawn without its code"


def test_the_first_digit_of_a_code_tells_the_exit_code() -> None:
    for one in error_classes():
        if one is not errors.NwbpipeError:
            assert one.exit_code == {"1": 2, "2": 1}[one.code[2]], one
