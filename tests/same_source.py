"""Write down that today's compute code gives the results of earlier code: ``make same-source``.

``src/nwbpipe/processors/same_source.json`` has for each of our processors the digest of its compute code, and those
of earlier code that computes the same. Results whose record has one of them are not stale. CONTRIBUTING says when
this may be run::

    python -m tests.same_source              # the code changed, but no result does: moves, renames, comments
    python -m tests.same_source NAME ...     # results of these processors may change
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from pathlib import Path

import nwbpipe.processors
from nwbpipe.processors import hash_compute_code, processor
from nwbpipe.processors._registry import OURS
from nwbpipe.processors._source import SAME_SOURCE

TABLE = Path(nwbpipe.processors.__file__).with_name(SAME_SOURCE)
Entries = dict[str, dict[str, str | list[str]]]


def collect_digests() -> dict[str, str]:
    """Return the digest of the compute code of each of our processors."""
    return {name: hash_compute_code(processor(name)) for name in OURS}


def update(entries: Entries, digests: dict[str, str], changed: Collection[str] = ()) -> Entries:
    """Return the table for code with these digests; results of the `changed` processors are not the same."""
    updated: Entries = {}
    for name, digest in sorted(digests.items()):
        entry = entries.get(name, {"current": digest, "earlier": []})
        earlier = {*entry["earlier"], str(entry["current"])} - {digest}
        updated[name] = {"current": digest, "earlier": [] if name in changed else sorted(earlier)}
    return updated


def main(changed: list[str]) -> None:
    """Rewrite the table."""
    unknown = set(changed) - set(OURS)
    if unknown:
        sys.exit(f"no processor of ours is called {', '.join(sorted(unknown))}")
    entries = json.loads(TABLE.read_text(encoding="utf-8"))
    TABLE.write_text(json.dumps(update(entries, collect_digests(), changed), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
