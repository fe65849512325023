"""NWB extension ``ndx-nwbpipe``: the provenance of each result and of each clock's alignment.

Importing this package registers the extension with pynwb. Import it before a file is opened: pynwb generates
its own classes from the spec cached in the file, for an extension that it does not know yet.
The spec is cached in every file, so that any reader opens it without nwbpipe.
"""

from __future__ import annotations

from importlib.resources import as_file, files

from pynwb import get_class, load_namespaces

# hdmf reads the spec files at once: they need not outlive the block (nwbpipe may be inside a zip).
with as_file(files(__name__) / "spec") as _folder:
    load_namespaces(str(_folder / "ndx-nwbpipe.namespace.yaml"))

from nwbpipe.extensions._types import NAMESPACE, ClockAlignment, ProcessingRun, Provenance

SessionDetails = get_class("SessionDetails", NAMESPACE)

__all__ = ["NAMESPACE", "ClockAlignment", "ProcessingRun", "Provenance", "SessionDetails"]
