"""Warnings of libraries: shown once, kept in the record; some mean that data are lost."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("nwbpipe")

# Of no use to someone who converts: deprecations inside libraries, and names of temporary files.
_IGNORED = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning)
_IGNORED_TEXTS = (
    "file path provided", "extra keywords", "does not end in", "cached namespace", "ndx-events",
    "is not divisible by IFDs per cycle",  # accounts say how many pages are left out
)  # fmt: skip

# Libraries that warn by logging.
_LOGGERS = ("neo", "spikeinterface", "roiextractors", "neuroconv", "tifffile", "probeinterface")

# Warnings that mean a loss, with the kind of the difference (a word of `accept`) and the way out.
_LOSSES = (
    (r"detected \d+ other .*files", "parts", "give the argument that reads all parts, or a source for each file"),
    (r"more than one (plane|channel) is detected", "planes", "choose the plane and channel in args"),
    (r"(gaps?|missing|dropped|discontinuit\w+).*(samples?|packets?|records?|timestamps?)", "gap", None),
    (r"(samples?|packets?|frames?) .*(dropped|missing|lost)", "gap", None),
    (r"timestamps? .*(not |in|un)(continuous|monotonic|increasing)", "gap", None),
    (
        r"cannot rescale to voltage",
        "unit",
        "the file gives no scale: say which, with SeriesInterface and a conversion",
    ),
    (r"(truncat\w+|incomplete|corrupt\w*)", "samples", "copy the recording again, whole"),
)


@contextmanager
def log_warnings(where: str, tell: Callable[[str], object] | None = None) -> Iterator[None]:
    """Take the warnings of libraries, each once.

    Parameters
    ----------
    where : str
        What is being done, for the log.
    tell : callable, optional
        Called with the text of each relevant warning. Without it they are notes of the logger ``nwbpipe``.
    """
    logged = _LogCollector()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for library in loggers:
            library.addHandler(logged)
        try:
            yield
        finally:
            for library in loggers:
                library.removeHandler(logged)
            texts = dict.fromkeys([*map(_format_warning, caught), *logged.texts])
            for text in texts:
                if text and tell is not None:
                    tell(text)
                elif text:
                    logger.info("%s: %s", where, text)


def find_loss(text: str) -> tuple[str, str | None] | None:
    """Return the kind of loss that a reader's warning means, and the way out; None if it means none."""
    for pattern, kind, hint in _LOSSES:
        if re.search(pattern, text, re.IGNORECASE):
            return kind, hint
    return None


class _LogCollector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(" ".join(record.getMessage().split()))


def _format_warning(item: warnings.WarningMessage) -> str | None:
    text = " ".join(str(item.message).split())
    if issubclass(item.category, _IGNORED) or any(part in text for part in _IGNORED_TEXTS):
        return None
    return text
