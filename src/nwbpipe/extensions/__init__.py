"""NWB extension ``ndx-nwbpipe``: the provenance of each result and of each clock's alignment.

Importing this package registers the extension with pynwb. Import it before a file is opened: pynwb generates
its own classes from the spec cached in the file, for an extension that it does not know yet.
The spec is cached in every file, so that any reader opens it without nwbpipe.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import yaml
from hdmf.spec.namespace import YAMLSpecReader
from pynwb import get_class, get_type_map


class _SpecReader(YAMLSpecReader):  # type: ignore[misc]  # hdmf is untyped
    """Reads YAML in C where PyYAML has it; hdmf's own takes as long as all else of importing this package."""

    def read_namespace(self, path: str) -> Any:
        return self._load(path)["namespaces"]

    def read_spec(self, path: str) -> Any:
        return self._load(path)

    def _load(self, path: str) -> Any:
        text = (Path(self.source) / path).read_text(encoding="utf-8")
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  (both are safe)


# hdmf reads the spec files at once: they need not outlive the block (nwbpipe may be inside a zip).
with as_file(files(__name__) / "spec") as _folder:
    get_type_map(copy=False).load_namespaces(
        str(_folder / "ndx-nwbpipe.namespace.yaml"), reader=_SpecReader(indir=str(_folder))
    )

from nwbpipe.extensions._types import NAMESPACE, ClockAlignment, ProcessingRun, Provenance  # noqa: E402

SessionDetails = get_class("SessionDetails", NAMESPACE)

__all__ = ["NAMESPACE", "ClockAlignment", "ProcessingRun", "Provenance", "SessionDetails"]
