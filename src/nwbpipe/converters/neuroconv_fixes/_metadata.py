"""Workarounds for trees of metadata."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any


def merge_metadata(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two trees: mappings key by key, lists of named things by name; every other value is replaced.

    NeuroConv's `dict_deep_update` joins lists and drops repeated values: a grid spacing [0.5, 0.5] becomes [0.5].

    Upstream: named in the review of https://github.com/catalystneuro/neuroconv/pull/404 and kept. Seen in NeuroConv
    0.10.2.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            merged[key] = merge_metadata(old, value)
        elif _has_names(value) and _has_names(old):
            joined = merge_metadata(
                {item["name"]: item for item in old or ()}, {item["name"]: item for item in value}
            )
            merged[key] = list(joined.values())
        else:
            merged[key] = deepcopy(value)
    return merged


def _has_names(value: Any) -> bool:
    """Return True for a list of named things, such as the columns of the electrodes table."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and "name" in item for item in value)
    )


def rename_devices(metadata: dict[str, Any], session: Mapping[str, Any], source: str) -> None:
    """Add a source's name to its devices whose names devices of earlier sources (`session`) have, in place.

    Interfaces of one class give their devices one default name under different keys, which NeuroConv refuses since
    0.9.4 and merged in silence before.

    Upstream: https://github.com/catalystneuro/neuroconv/issues/1782 (refusal);
    https://github.com/catalystneuro/neuroconv/issues/629 (open) asks for default names that differ. Seen in NeuroConv
    0.10.2.
    """
    for registry in ("Devices", "DeviceModels"):
        keys = {entry.get("name"): key for key, entry in session.get(registry, {}).items()}
        for key, entry in metadata.get(registry, {}).items():
            if keys.get(entry.get("name"), key) != key:
                entry["name"] = f"{entry['name']}_{source}"
