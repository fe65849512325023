"""Warnings of libraries, as notes in the log."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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
