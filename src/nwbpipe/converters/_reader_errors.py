"""Turning what readers raise, and warn of, into nwbpipe's errors and notes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from nwbpipe.converters.spec._model import SessionSpec
from nwbpipe.errors import FileAccessError, NwbpipeError, SourceError

logger = logging.getLogger("nwbpipe")

# Of no use to someone who converts: deprecations inside libraries, and names of temporary files.
_IGNORED = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning)
_IGNORED_TEXTS = ("file path provided", "extra keywords", "does not end in", "cached namespace", "ndx-events")


@contextmanager
def log_warnings(where: str) -> Iterator[None]:
    """Take the warnings of libraries, and log the relevant ones as notes of the logger ``nwbpipe``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            texts = dict.fromkeys(_format_warning(item) for item in caught)
            for text in texts:
                if text:
                    logger.info("%s: %s", where, text)


def _format_warning(item: warnings.WarningMessage) -> str | None:
    text = " ".join(str(item.message).split())
    if issubclass(item.category, _IGNORED) or any(part in text for part in _IGNORED_TEXTS):
        return None
    return text


@contextmanager
def translate_reader_errors(
    spec: SessionSpec, name: str, interface_name: str, interface: type[Any] | None = None
) -> Iterator[None]:
    """Run a reader on a source; whatever it raises becomes an error that names source and file.

    Raises
    ------
    SourceError
        If the reader refuses.
    ToolMissingError
        If a package that it needs is not installed.
    FileAccessError
        If the disk is full, or the file may not be read.
    """
    from nwbpipe.converters.interfaces import missing_reader_error

    try:
        with log_warnings(f"sources.{name}"):
            yield
    except NwbpipeError as error:
        where = error.problem.where or ""
        if f"sources.{name}" not in where:  # one of our interfaces, which knows its file but not the source's name
            error.problem = replace(error.problem, where=f"sources.{name}: {where}".rstrip(": "))
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except ImportError as error:
        raise missing_reader_error(interface_name, error, interface) from error
    except MemoryError as error:
        raise SourceError(
            f"there is not enough memory to read {name!r}", where=f"sources.{name}", hint="close other programs"
        ) from error
    except PermissionError as error:
        raise FileAccessError(
            f"a file of {name!r} can't be read", where=str(error.filename), hint="ask for permission"
        ) from error
    except Exception as error:
        raise SourceError(
            f"the source {name!r} can't be read",
            where=f"sources.{name}: " + ", ".join(spec.paths.display(path) for path in paths_of(spec, name)),
            expected=f"what {interface_name} reads",
            found=f"{type(error).__name__}: {_shorten_error(error)}",
            hint="check that the file is whole and of that format, and that the arguments are right",
        ) from error


def _shorten_error(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 600 else text[:600] + " …"


def paths_of(spec: SessionSpec, name: str) -> list[Path]:
    """Raw files and folders that a source's arguments name."""
    return list(_paths(spec.sources[name].args))


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _paths(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _paths(item)
