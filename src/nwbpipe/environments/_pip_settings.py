"""Translate pip's configured package indexes into settings of uv, which does not read pip's.

Standard library only: ``make`` runs this file before anything is installed, and sources its output.
"""

from __future__ import annotations

import configparser
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

# pip's option → uv's variable, and the separator of its values
_SETTINGS = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
}
# uv has an option for pip's no-index, but no variable: an index in a folder that does not exist is empty.
_EMPTY_INDEX = "file:///nonexistent"


def read_uv_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return uv's variables for pip's configuration; variables that are set already are left out.

    Parameters
    ----------
    environment : mapping
        The environment variables (``PIP_*`` come before pip's configuration files, as for pip).
    """
    options = read_pip_options(environment)
    settings = {}
    if has_no_index(environment):
        options = {name: value for name, value in options.items() if name not in ("index-url", "extra-index-url")}
        options["index-url"] = _EMPTY_INDEX
    for option, (variable, separator) in _SETTINGS.items():
        value = options.get(option, "").split()
        if value and variable not in environment:
            settings[variable] = separator.join(value)
    if ("UV_INDEX" in settings or "UV_INDEX" in environment) and "UV_INDEX_STRATEGY" not in environment:
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip looks at all indexes alike
    return settings


def has_no_index(environment: Mapping[str, str]) -> bool:
    """Return True if pip is told to use no package index."""
    return read_pip_options(environment).get("no-index", "").lower() in ("1", "true", "yes", "on")


def read_pip_options(environment: Mapping[str, str]) -> dict[str, str]:
    """Return pip's options by name, from its configuration files and from variables (which override them)."""
    options: dict[str, str] = {}
    for path in _list_configuration_files(environment):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip reports its own broken file
        for section in ("global", "install"):
            if parser.has_section(section):
                options.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    for name, value in environment.items():
        if name.startswith("PIP_"):
            options[name[4:].lower().replace("_", "-")] = value
    return options


def _list_configuration_files(environment: Mapping[str, str]) -> list[Path]:
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path.home()
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        config / "pip" / "pip.conf",
    ]
    files += [home / "Library" / "Application Support" / "pip" / "pip.conf", Path(sys.prefix) / "pip.conf"]
    return files + ([Path(named)] if named else [])


if __name__ == "__main__":
    for name, text in read_uv_settings(os.environ).items():
        print(f"export {name}={shlex.quote(text)}")
