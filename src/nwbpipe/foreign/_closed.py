"""Keep the readers of other packages from running what a file holds, while they read it.

Two walls, for one thread and for the time of a block:

- Readers that unpickle (`numpy.load`, PyTables, NeuroConv) get our closed reader in the place of `pickle`, and
  SpikeInterface's ``read_python`` becomes `read_literals`. What these read stays data.
- An audit hook of Python refuses all else that would run something: a name that a pickle looks up, text that a reader
  compiles, a program, a connection, a file that is not of the source. That is no sandbox against code that runs
  already: it keeps it from starting.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from nwbpipe.errors import SourceError
from nwbpipe.foreign._literals import read_literals
from nwbpipe.foreign._pickle_values import DamagedPickleError, ForbiddenPickleError
from nwbpipe.foreign._pickles import read_pickle
from nwbpipe.foreign._reads import ReadScope

#: Modules that unpickle by ``pickle.load`` or ``pickle.loads``.
UNPICKLERS = (
    "numpy.lib._format_impl",
    "numpy.lib.format",
    "tables.attributeset",
    "tables.atom",
    "numcodecs.pickles",
    "neuroconv.datainterfaces.behavior.deeplabcut._dlc_utils",
    "roiextractors.extractors.simaextractor.simasegmentationextractor",
)
#: Modules that run the text of a file by ``read_python``.
INTERPRETERS = ("spikeinterface.extractors.phykilosortextractors", "spikeinterface.extractors.klustaextractors")
# Packages that read raw files. They compile no text while they read, but what a file holds.
_READERS = frozenset(
    ["neuroconv", "spikeinterface", "roiextractors", "neo", "probeinterface", "sleap_io", "tdt", "pymatreader"]
)
_OWN_PICKLES = frozenset({"numba", "pynwb"})  # they unpickle files of their own, which lie beside their code
# They ask the system by fixed commands; ours matches lines with a pattern.
_OWN_PROGRAMS = frozenset({"platform", "ctypes.util", "uuid", "nwbpipe.converters.interfaces._patterns"})
_PROGRAMS = frozenset(
    [
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.startfile",
        "os.startfile/2",
        "pty.spawn",
    ]
)
_WRITES = os.O_WRONLY | os.O_CREAT | os.O_TRUNC  # O_RDWR alone reads what is there
_CONNECTIONS = frozenset({"socket.connect", "urllib.Request"})


_ELSEWHERE = "a file elsewhere: "


class ForbiddenCodeError(OSError):
    """A reader would have run what a file holds."""


class _State(threading.local):
    depth = 0
    imports = 0  # that were under way when the block began
    refused: list[str] | None = None
    scope: ReadScope | None = None
    own_files: set[str] | None = None  # that the reader itself wrote


_state = _State()
_install = threading.Lock()
_is_installed = False


@contextmanager
def forbid_code(where: str, hint: str | None = None, scope: ReadScope | None = None) -> Iterator[None]:
    """Keep this thread from running what files hold, while the block lasts.

    Parameters
    ----------
    where : str
        The files, for the message.
    hint : str, optional
        The next step for the user.
    scope : ReadScope, optional
        The files that may be read; all by default.

    Raises
    ------
    SourceError
        At the end of the block, if something was refused; even if the reader went on without it.
    """
    _install_hook()
    _close_readers()
    outer, _state.refused = _state.refused, []
    outer_imports, _state.imports = _state.imports, _count_imports(sys._getframe())
    outer_scope, _state.scope, _state.own_files = (_state.scope, _state.own_files), scope, set()
    _state.depth += 1
    refused: list[str] = _state.refused
    try:
        yield
    except BaseException as error:
        if refused:
            raise _make_error(refused, where, hint) from error
        raise
    finally:
        _state.depth -= 1
        _state.refused, _state.imports = outer, outer_imports
        _state.scope, _state.own_files = outer_scope
    if refused:
        raise _make_error(refused, where, hint)


@contextmanager
def lend_folder() -> Iterator[Path]:
    """Yield a temporary folder that this block's reader may read, too; links in it are judged by their targets."""
    scope = _state.scope
    try:
        with tempfile.TemporaryDirectory(prefix="nwbpipe-") as name:
            if scope is not None:
                _state.scope = scope | ReadScope([Path(name)], [Path(name)])
            try:
                yield Path(name)
            finally:
                _state.scope = None  # Python removes it by names below each other, which say no place
    finally:
        _state.scope = scope


def _make_error(refused: list[str], where: str, hint: str | None) -> SourceError:
    if all(text.startswith(_ELSEWHERE) for text in refused):
        return SourceError(
            "the files name a file that is not of the source; it was not read",
            where=where,
            expected="files below the folder of the source",
            found="; ".join(dict.fromkeys(text.removeprefix(_ELSEWHERE) for text in refused[:5])),
            hint=hint or "move the file into the folder of the source",
        )
    return SourceError(
        "the files hold more than data; nothing of it was run",
        where=where,
        expected="numbers, text, lists and dictionaries",
        found="; ".join(dict.fromkeys(refused[:5])),
        hint=hint or "don't open them by other means unless you know where they come from",
    )


def _refuse(text: str) -> None:
    if _state.refused is not None:
        _state.refused.append(text)


# The first wall ---------------------------------------------------------------------------------------------


class _ClosedPickle:
    """The module `pickle`, whose `load` and `loads` are closed in threads that read foreign files."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pickle, name)

    def load(self, file: io.BufferedIOBase, **options: Any) -> Any:
        return _read(file.read()) if _state.depth else pickle.load(file, **options)  # noqa: S301 - not foreign

    def loads(self, data: bytes, **options: Any) -> Any:
        return _read(data) if _state.depth else pickle.loads(data, **options)  # noqa: S301 - not foreign


def _read(data: bytes) -> Any:
    try:
        return read_pickle(bytes(data))
    except ForbiddenPickleError as error:
        _refuse(f"a pickle that is more than data: {error}")
        raise
    except DamagedPickleError as error:  # readers try whether a text is a pickle
        raise pickle.UnpicklingError(str(error)) from error


_closed_pickle = _ClosedPickle()


def _close_readers() -> None:
    """Put our readers in the place of theirs, in the modules that are imported by now."""
    for name in UNPICKLERS:
        module = sys.modules.get(name)
        if module is not None and getattr(module, "pickle", None) is pickle:
            vars(module)["pickle"] = _closed_pickle
    for name in INTERPRETERS:
        module = sys.modules.get(name)
        original = getattr(module, "read_python", None)
        if module is not None and original is not None and not hasattr(original, "is_closed"):
            vars(module)["read_python"] = _close_interpreter(original)


def _close_interpreter(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read_python(path: Any) -> Any:
        return read_literals(path) if _state.depth else original(path)

    read_python.is_closed = True  # type: ignore[attr-defined]
    return read_python


# The second wall --------------------------------------------------------------------------------------------


def _install_hook() -> None:
    global _is_installed
    with _install:
        if not _is_installed:
            sys.addaudithook(_audit)
            _is_installed = True


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _state.depth:
        return
    if event == "open":
        if _state.scope is not None:
            _check_read(_state.scope, arguments[0], arguments[2])
    elif event == "pickle.find_class":
        if _find_package(sys._getframe(1)) not in _OWN_PICKLES:
            _forbid(f"a pickle that names {arguments[0]}.{arguments[1]}")
    elif event == "exec":
        caller = sys._getframe(1)
        if caller.f_globals.get("__name__", "").partition(".")[0] in _READERS and _is_text(arguments[0]):
            _forbid(f"text that {caller.f_globals['__name__']} would run")
    elif event in _PROGRAMS:
        caller = sys._getframe(1)
        if _find_module(caller) not in _OWN_PROGRAMS and _count_imports(caller) <= _state.imports:
            _forbid(f"a program: {_name_program(event, arguments)}")
    elif event in _CONNECTIONS and not isinstance(arguments[-1], str | bytes):
        _forbid(f"a connection to {arguments[-1]}")


def _check_read(scope: ReadScope, path: Any, flags: int) -> None:
    if not isinstance(path, str | bytes | os.PathLike):
        return
    name, own_files = os.fsdecode(path), _state.own_files if _state.own_files is not None else set()
    if flags & _WRITES:
        own_files.add(os.path.abspath(name))  # noqa: PTH100
    elif os.path.abspath(name) not in own_files:  # noqa: PTH100
        _state.scope = None  # for what is opened to find that out
        try:
            is_allowed = scope.holds(name) or _count_imports(sys._getframe(2)) > _state.imports
        finally:
            _state.scope = scope
        if not is_allowed:
            _forbid(f"{_ELSEWHERE}{name}")


def _forbid(text: str) -> None:
    _refuse(text)
    raise ForbiddenCodeError(text)


def _is_text(code: Any) -> bool:
    """Return True if code was compiled from text, and not from a module's file."""
    return str(getattr(code, "co_filename", "")).startswith("<") and not code.co_filename.startswith("<frozen")


def _name_program(event: str, arguments: tuple[Any, ...]) -> str:
    if event == "subprocess.Popen":
        command = arguments[1]
        return str(command[0] if isinstance(command, list | tuple) and command else command)[:100]
    return str(arguments[0] if arguments else event)[:100]


def _find_module(frame: FrameType | None) -> str:
    """Return the name of the module that called subprocess, or the like."""
    while frame is not None and frame.f_globals.get("__name__") in ("subprocess", "os", "_posixsubprocess"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "")) if frame is not None else ""


def _count_imports(frame: FrameType | None) -> int:
    """Count the modules that are being imported: what an installed package runs then is not of the file's making."""
    count = 0
    while frame is not None:
        code = frame.f_code
        count += code.co_name == "exec_module" and code.co_filename == "<frozen importlib._bootstrap_external>"
        frame = frame.f_back
    return count


def _find_package(frame: FrameType | None) -> str:
    """Return the package that called pickle."""
    while frame is not None and frame.f_globals.get("__name__") in ("pickle", "_pickle"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] if frame is not None else ""
