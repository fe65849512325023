"""Find what DANDI would refuse: before a conversion where the spec tells, else before any byte is sent."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from nwbpipe.errors import NwbpipeError, Problem
from nwbpipe.publish._layout import AssetFile, SessionAssets
from nwbpipe.publish._packages import require
from nwbpipe.session import check

_ERROR = "ERROR"  # severity of dandi from which the archive's client refuses a file


def find_refusals(session: SessionAssets, *, thorough: bool = False) -> list[Problem]:
    """Return why DANDI would refuse a session file: by our own check, dandi's rules for names and its schema.

    Parameters
    ----------
    session : SessionAssets
        A file that has a place.
    thorough : bool
        Run dandi's own validation as well. It takes twice as long, and has the same rules: pynwb's validator, and
        nwbinspector with DANDI's configuration, which our check has run.
    """
    file, asset = session.file, session.assets[0]
    try:
        report = check(file)
    except NwbpipeError as error:
        return [error.problem]
    problems = [
        Problem(finding.what, f"{file} {finding.where}".strip(), hint=finding.hint or None)
        for finding in report.findings
        if finding.error or finding.kind == "dandi"
    ]
    if not report.in_order and not problems:
        hint = f"`nwbpipe check {file}` says more"
        problems.append(
            Problem(f"the file is {report.verdict}", str(file), found=report.file.reason or None, hint=hint)
        )
    if problems:  # dandi's readers are not for damaged files
        return problems
    with silence():
        return [*_validate(asset, thorough), *_check_schema(asset)]


@contextmanager
def silence() -> Iterator[None]:
    """Keep the warnings and log messages of dandi and pynwb to themselves: problems are told by our own errors."""
    logger = logging.getLogger("dandi")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(level)


def open_asset(asset: AssetFile) -> Any:
    """Return dandi's own object for a file."""
    files = require("dandi.files")
    kind = files.NWBAsset if asset.is_nwb else files.VideoAsset
    return kind(filepath=asset.file.resolve(), path=asset.path, dandiset_path=None)


def _validate(asset: AssetFile, thorough: bool) -> Iterator[Problem]:
    """Yield what `dandi validate` refuses: of the file's place, and if `thorough` of its content."""
    organize = require("dandi.organize")
    results = open_asset(asset).get_validation_errors() if thorough else []
    results += organize.validate_organized_path(asset.path, asset.file, asset.file.parent)
    messages = set()
    for result in results:
        if result.severity is None or result.severity.name not in (_ERROR, "CRITICAL"):
            continue
        message = str(result.message or result.id).strip().splitlines()[0][:300]
        if message not in messages:
            messages.add(message)
            inner = ", ".join((result.within_asset_paths or {}).values())
            yield Problem(message, f"{asset.file} {inner}".strip(), hint=f"dandi: {result.id}")


def _check_schema(asset: AssetFile) -> Iterator[Problem]:
    digest = require("dandi.misctypes").DUMMY_DANDI_ETAG
    yield from check_metadata(
        lambda: open_asset(asset).get_metadata(digest=digest, ignore_errors=False), str(asset.file)
    )


def check_metadata(draw: Callable[[], Any], where: str) -> Iterator[Problem]:
    """Yield what the schema of DANDI's metadata refuses.

    Parameters
    ----------
    draw : callable
        Returns the metadata of an asset, as dandi draws it.
    where : str
        The file or spec.
    """
    models = require("dandischema.models")
    try:
        models.BareAsset(**draw().model_dump())
    except ValidationError as error:
        for fault in error.errors():
            name = ".".join(map(str, fault["loc"]))
            hint = "correct the metadata: dandischema refuses it"
            yield Problem(fault["msg"], f"{where}: {name}", found=repr(fault["input"])[:80], hint=hint)
    except Exception as error:  # dandi raises what it comes upon
        message = "dandi can't read the metadata"
        yield Problem(message, where, found=f"{type(error).__name__}: {error}"[:300])
