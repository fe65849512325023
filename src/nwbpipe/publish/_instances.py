"""Find a DANDI archive by name or URL, and the user's key for it."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from nwbpipe.errors import RequestError, UnknownNameError, show_text, suggest_names
from nwbpipe.publish._packages import require

_SHORT = {"sandbox": "dandi-sandbox", "ember": "ember-dandi", "ember-sandbox": "ember-dandi-sandbox"}
_DANDISET = re.compile(r"[0-9]{6}")


@dataclass(frozen=True)
class Instance:
    """A DANDI archive.

    Attributes
    ----------
    name : str
        Name that dandi knows it by; the host of a URL that dandi does not know.
    api : str
        URL of its REST API, without a slash at the end.
    """

    name: str
    api: str

    @property
    def key_variables(self) -> tuple[str, ...]:
        """Names of the environment variables that may hold the user's key; the first is dandi's own."""
        name = self.name.upper().replace("-", "_")
        return tuple(dict.fromkeys((f"{name}_API_KEY", re.sub(r"\W", "_", name) + "_API_KEY")))


def find_instance(name: str) -> Instance:
    """Return the archive of a name (``dandi``, ``sandbox``, ``ember``, those that dandi knows) or URL.

    Raises
    ------
    UnknownNameError
        If there is no such archive.
    RequestError
        If the URL is not one of https, or leads to another machine without it: a key would be sent in plain text.
    """
    instances = require("dandi.consts").known_instances
    if "://" in name:
        return _of_url(name.rstrip("/"), instances)
    instance = instances.get(_SHORT.get(name, name))
    if instance is None:
        names = sorted({*_SHORT, *instances})
        msg = f"there is no DANDI archive {name!r}"
        raise UnknownNameError(
            msg, expected=", ".join(names) + ", or a URL", found=name, hint=suggest_names(name, names)
        )
    return Instance(instance.name, instance.api)


def _of_url(url: str, known: dict[str, Any]) -> Instance:
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment or not parts.hostname:
        msg = "the URL of the archive holds more than its address, or less"
        raise RequestError(msg, where=url, expected="https://api.example.org/api")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(parts.hostname)):
        msg = "the archive's URL is not safe: the key would be sent in plain text"
        raise RequestError(msg, where=url, expected="https://…, or http:// on this machine")
    for instance in known.values():
        if url in [address.rstrip("/") for address in instance.urls()]:
            return Instance(instance.name, instance.api)
    return Instance(parts.netloc.lower(), url)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def find_key(instance: Instance) -> str | None:
    """Return the user's key: of the environment, else of dandi's own key store; None if there is none.

    Nothing is asked for: a key store that wants a password is passed over where there is no terminal.

    Raises
    ------
    RequestError
        If the key can't be one.
    """
    for variable in instance.key_variables:
        if key := os.environ.get(variable, "").strip():
            return _check_key(key, variable)
    stored = _look_up_key(f"dandi-api-{instance.name}")
    return _check_key(stored.strip(), "the key store") if stored else None


def _check_key(key: str, where: str) -> str:
    if not re.fullmatch(r"[!-~]+", key):
        msg = "the key holds characters that no key has"
        raise RequestError(
            msg, where=where, expected="letters and digits", hint="copy it again from the archive's page"
        )
    return key


def _look_up_key(service: str) -> str | None:
    core, errors = require("keyring.core"), require("keyring.errors")
    try:
        store = core.load_env() or core.load_config() or core.get_keyring()
        # A store in an encrypted file asks for its password.
        if type(store).__name__ == "EncryptedKeyring" and not sys.stdin.isatty():
            return None
        key = store.get_password(service, "key")
    except (errors.KeyringError, OSError, ValueError, ImportError, RuntimeError):
        return None
    return key if isinstance(key, str) else None


def missing_key_error(instance: Instance) -> RequestError:
    """Return the error for a key that is needed and not found."""
    return RequestError(
        f"there is no key for the archive {instance.name}",
        where=instance.api,
        expected=f"the environment variable {instance.key_variables[-1]}, or a key in dandi's key store",
        hint="copy the key from your page at the archive (your initials, at the upper right); "
        "`dandi instances` lists archives",
    )


def check_dandiset(identifier: str) -> str:
    """Return the identifier of a dandiset: six digits; ``DANDI:`` before them is left out.

    Raises
    ------
    RequestError
        If it is none.
    """
    digits = identifier.rpartition(":")[2]
    if not _DANDISET.fullmatch(digits):
        msg = "a dandiset is named by six digits"
        raise RequestError(msg, expected="000123", found=show_text(identifier))
    return digits
