"""Upload a conversion to S3 as a whole, once it is built on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nwbpipe import files
from nwbpipe.converters._media import media_folder
from nwbpipe.errors import ConflictError, FileAccessError, NwbpipeError, OverwriteError, RequestError
from nwbpipe.stores import S3Store, Store, open_location
from nwbpipe.stores.s3 import canonical_url, public_url


def remote_target(output: Path | str) -> str:
    """Return the address of an output that is not on this machine.

    Raises
    ------
    RequestError
        If it is not in S3.
    """
    url = canonical_url(output)
    if not url.startswith("s3:"):
        msg = "a conversion can't be written to this kind of store"
        raise RequestError(
            msg,
            where=public_url(url),
            expected="a local file, or s3://bucket/key",
            hint="convert to a local file, and upload it",
        )
    return url if url.endswith(".nwb") else f"{url}.nwb"


def existing_etag(url: str) -> str | None:
    """Return the ETag of an object; None if it does not exist.

    Raises
    ------
    FileAccessError
        If S3 does not answer.
    """
    store, name = open_location(url)
    return store.stat(name).tag if store.exists(name) else None


def upload(built: Path, url: str, replaces: str | None) -> None:
    """Upload a file and its media; the file last.

    Parameters
    ----------
    built : Path
        The file on this machine; its media are in the folder named after it.
    url : str
        Address of the new object.
    replaces : str, optional
        ETag of the object that it may replace.

    Raises
    ------
    OverwriteError
        If the object appeared or changed since the conversion began, or a medium of the same name has other content.
    FileAccessError
        If it can't be uploaded. The old object stays.
    """
    store, _ = open_location(url)
    with _upload_media(built, store):
        try:
            files.s3_upload(built, url, replaces=replaces)
        except ConflictError as error:
            msg = "the output appeared, or changed, while the session was converted"
            raise OverwriteError(
                msg, where=url, hint="it was left alone: look at it, then choose another name, or pass --overwrite"
            ) from error


@contextmanager
def _upload_media(built: Path, store: Store) -> Iterator[None]:
    """Upload the media; if the block fails, the new ones are removed again."""
    folder = media_folder(built)
    uploaded: list[tuple[str, str]] = []
    try:
        for medium in sorted(folder.iterdir()) if folder.is_dir() else []:
            name = f"{folder.name}/{medium.name}"
            try:
                uploaded.append((name, store.put_file(medium, name, if_absent=True)))
            except ConflictError:
                if not _has_same_content(store, name, medium):
                    raise OverwriteError(
                        "a medium of the session exists with other content",
                        where=store.location(name),
                        hint="choose another output name, or remove it there",
                    ) from None
        yield
    except BaseException:
        for name, tag in uploaded:
            with suppress(NwbpipeError):
                store.remove(name, if_tag=tag)
        raise


def _has_same_content(store: Store, name: str, medium: Path) -> bool:
    """Return True if an object has a file's content; the ETag is enough if it was uploaded in one piece."""
    assert isinstance(store, S3Store)
    try:
        entry = store.stat(name)
    except FileAccessError:
        return False
    if entry.size != medium.stat().st_size:
        return False
    with medium.open("rb") as file:
        local = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if "-" not in entry.tag:
        return entry.tag.strip('"') == local
    with store.open(name) as remote:
        digest = hashlib.md5(usedforsecurity=False)
        while part := remote.read(2**22):
            digest.update(part)
    return digest.hexdigest() == local
