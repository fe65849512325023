"""Probes by the names of the interfaces whose sources they account for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from nwbpipe.converters.accounts._account import Account
from nwbpipe.errors import NwbpipeError
from nwbpipe.stores import hide_junk

Probe = Callable[[Mapping[str, Any]], Account | None]
_Probe = TypeVar("_Probe", bound=Probe)
_probes: dict[str, Probe] = {}


def account(*interfaces: str) -> Callable[[_Probe], _Probe]:
    """Declare a function as the probe of interfaces.

    Parameters
    ----------
    *interfaces : str
        Class names: ``"SpikeGLXRecordingInterface"``.

    Returns
    -------
    callable
        A decorator. The function takes the source's arguments, with absolute paths, and returns an
        :class:`Account`, or None where it can't tell (a file is missing: the reader says so). It must be quick
        (headers and sizes, no data), and import heavy packages itself: a plan calls it for every session.
    """

    def register(probe: _Probe) -> _Probe:
        _probes.update(dict.fromkeys(interfaces, probe))
        return probe

    return register


def has_account(interface: str) -> bool:
    """Return True if an interface has a probe."""
    return interface in _load_probes()


def read_account(interface: str, arguments: Mapping[str, Any]) -> tuple[Account | None, str]:
    """Read the account of a source.

    Parameters
    ----------
    interface : str
        Class name of the interface.
    arguments : mapping
        The source's arguments.

    Returns
    -------
    (Account or None, str)
        The account, and the reason why there is none: the format has no probe, or the probe failed.

    Raises
    ------
    SourceError
        The probe refuses the files.
    """
    probe = _load_probes().get(interface)
    if probe is None:
        return None, "not accounted: the format has no probe"
    try:
        with hide_junk():
            result = probe(arguments)
    except NwbpipeError:
        raise
    except Exception as error:  # a probe reads strangers' files: what it can't read, the reader may
        text = " ".join(str(error).split())[:200]
        return None, f"not accounted: the probe failed ({type(error).__name__}: {text})"
    return result, "" if result is not None else "not accounted: the probe does not know these files"


@cache
def _load_probes() -> dict[str, Probe]:
    import nwbpipe.converters.accounts as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _probes
