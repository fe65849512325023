"""Devices of different sources have different names.

Interfaces of one class give their devices one default name under different keys, which NeuroConv refuses since 0.9.4
and merged in silence before.

Upstream: https://github.com/catalystneuro/neuroconv/issues/1782 (refusal); default names that differ are asked for in
https://github.com/catalystneuro/neuroconv/issues/629 (open). Seen in NeuroConv 0.10.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def rename_devices(metadata: dict[str, Any], session: Mapping[str, Any], source: str) -> None:
    """Add the source's name to its devices whose names other devices of the session have, in place.

    Parameters
    ----------
    metadata : dict
        Metadata of the source.
    session : mapping
        Metadata of the sources before it.
    source : str
        The source's name.
    """
    for registry in ("Devices", "DeviceModels"):
        keys = {entry.get("name"): key for key, entry in session.get(registry, {}).items()}
        for key, entry in metadata.get(registry, {}).items():
            if keys.get(entry.get("name"), key) != key:
                entry["name"] = f"{entry['name']}_{source}"
