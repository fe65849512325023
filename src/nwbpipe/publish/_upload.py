"""Upload session files and their videos to a dandiset."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nwbpipe.errors import ArchiveError, NwbpipeError, Problem, RequestError
from nwbpipe.publish._archive import Dandiset, RemoteAsset, read_asset, read_dandiset
from nwbpipe.publish._client import ArchiveClient, read_field
from nwbpipe.publish._create import create_dandiset, refuse_second_dandiset
from nwbpipe.publish._digests import StopRequest
from nwbpipe.publish._instances import Instance, check_dandiset, find_instance, find_key
from nwbpipe.publish._plan import PlannedAsset, Progress, UploadPlan, plan_upload
from nwbpipe.publish._receipts import AssetReceipt, ReceiptWriter, UploadReceipt
from nwbpipe.publish._send import Sender, describe_asset
from nwbpipe.publish._sources import UploadSources, find_sources

SHA256_WAIT_S = 10.0  # the archive computes it after the upload
_FATAL = frozenset({401, 403})  # no file will fare better


@dataclass(frozen=True)
class UploadReport:
    """The outcome of `upload`.

    Attributes
    ----------
    plan : UploadPlan
        What was found: new, changed, unchanged and refused files.
    receipt : UploadReceipt, optional
        What is up, read back from the archive; None after a dry run, or if files were refused.
    location : str
        Where the receipt was written; "" if nowhere.
    """

    plan: UploadPlan
    receipt: UploadReceipt | None = None
    location: str = ""

    @property
    def in_order(self) -> bool:
        """True if nothing was refused or failed."""
        return not self.plan.refused and (self.receipt is None or self.receipt.outcome == "done")

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        receipt = self.receipt.as_dict() if self.receipt is not None else None
        return {"plan": self.plan.as_dict(), "receipt": receipt, "location": self.location, "in_order": self.in_order}


def upload(
    sources: Sequence[Path | str] = (),
    *,
    instance: str | None = None,
    dandiset: str | None = None,
    project: Path | str | None = None,
    profile: str | None = None,
    sessions: Sequence[str] = (),
    create: bool = False,
    dry_run: bool = False,
    skip_refused: bool = False,
    jobs: int = 4,
    show_plan: Callable[[UploadPlan], None] = lambda _: None,
    progress: Progress | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> UploadReport:
    """Upload session files and their videos to the draft of a dandiset.

    Files are compared with the dandiset by digest. All are checked before any byte is sent. Each asset is read back.

    Parameters
    ----------
    sources : sequence of path
        Session files, or one project; the nearest project by default.
    instance : str, optional
        The archive: ``dandi``, ``sandbox``, ``ember``, another name that dandi knows, or the URL of an API. Without
        it, that of [publish] in nwbpipe.toml; there is no other default.
    dandiset : str, optional
        Its six digits; by default those of [publish].
    project, profile : optional
        The project whose state keeps the receipt, and its profile.
    sessions : sequence of str
        Keys of the project's sessions, or patterns.
    create : bool
        Create the dandiset, as [publish] describes it.
    dry_run : bool
        Compare and check, and send nothing.
    skip_refused : bool
        Send the other files if some are refused; by default nothing is sent.
    jobs : int
        Files, and parts of files, that are sent at a time.
    show_plan : callable
        Called with the plan before anything is sent.
    progress : callable, optional
        Called with a fraction (0 to 1) and a text.
    stopped : callable
        True ends the upload; what is up by then is in the receipt.

    Returns
    -------
    UploadReport

    Raises
    ------
    RequestError
        If a file does not exist, the dandiset or archive is unknown, or the key is missing or wrong.
        Nothing was sent.
    ArchiveError
        If the archive does not answer before anything was sent.
    """
    request = find_sources(sources, project=project, profile=profile, sessions=sessions)
    settings = request.settings
    archive = _choose_instance(instance or settings.instance)
    identifier = dandiset or settings.dandiset
    _check_target(identifier, create)
    client = ArchiveClient(archive, find_key(archive), stopped=stopped)
    try:
        if not dry_run or client.has_key:
            client.require_key()
        target = None if create or identifier is None else read_dandiset(client, check_dandiset(identifier))
        if target is not None and target.embargo == "UNEMBARGOING":
            msg = f"the embargo of the dandiset {target.identifier} is just being lifted"
            raise RequestError(msg, where=archive.api, hint="wait until the archive is done, and try again")
        if create:
            refuse_second_dandiset(request, archive)
        plan = plan_upload(client, target, request.sessions, progress=progress)
        show_plan(plan)
        if dry_run or (plan.refused and not skip_refused):
            return UploadReport(plan)
        return _send_all(client, plan, request, jobs, progress)
    except StopRequest:
        raise KeyboardInterrupt from None
    finally:
        client.close()


def _choose_instance(name: str | None) -> Instance:
    if not name:
        expected = "--instance dandi (public for good), sandbox, ember or a URL; or `instance` in [publish]"
        raise RequestError("the archive is not named", expected=expected, hint="try it at the sandbox first")
    return find_instance(name)


def _check_target(identifier: str | None, create: bool) -> None:
    if create and identifier:
        msg = "a dandiset was named, and another one is to be created"
        raise RequestError(
            msg, found=identifier, hint="leave out --create, or --dandiset and `dandiset` in [publish]"
        )
    if not create and not identifier:
        expected = "--dandiset 000123, `dandiset` in [publish] of nwbpipe.toml, or --create"
        raise RequestError("the dandiset is not named", expected=expected)


def _send_all(
    client: ArchiveClient, plan: UploadPlan, sources: UploadSources, jobs: int, progress: Progress | None
) -> UploadReport:
    server_version = read_field(client.read_info(), "schema_version", str)
    # Drawn before anything is sent: dandi's readers are not for several threads.
    metadata = {planned.asset.path: describe_asset(planned, server_version) for planned in plan.pending}
    if client.stopped():
        raise StopRequest
    created = plan.dandiset is None
    target = plan.dandiset or create_dandiset(client, sources.settings)
    receipt = UploadReceipt(client.instance.name, client.instance.api, target.identifier, created=created)
    writer = ReceiptWriter(receipt, sources.state)
    for planned in plan.unchanged:
        assert planned.current is not None
        writer.add(_make_receipt(planned, planned.current, "unchanged"))
    if created:
        writer.write()  # the dandiset is there, whatever comes
    try:
        _Transfer(client, target, plan, metadata, writer, progress).run(jobs)
    finally:
        writer.write()
    location = sources.state.location(receipt.path) if sources.state is not None else ""
    return UploadReport(replace(plan, dandiset=target), receipt, location)


def _make_receipt(planned: PlannedAsset, remote: RemoteAsset, state: Any) -> AssetReceipt:
    return AssetReceipt(
        planned.asset.path,
        planned.asset.file.name,
        planned.asset.session,
        state,
        remote.asset_id,
        planned.digest.size,
        planned.digest.etag,
        planned.digest.sha256,
        bool(remote.sha256),
        planned.digest.mtime_ns,
    )


class _Transfer:
    """Sends the pending files of a plan side by side."""

    def __init__(
        self,
        client: ArchiveClient,
        dandiset: Dandiset,
        plan: UploadPlan,
        metadata: dict[str, dict[str, Any]],
        writer: ReceiptWriter,
        progress: Progress | None,
    ) -> None:
        self._client, self._dandiset, self._plan = client, dandiset, plan
        self._metadata, self._writer, self._progress = metadata, writer, progress
        self._sent_bytes = 0

    def run(self, jobs: int) -> None:
        """Send them; the receipt says what became of each."""
        receipt = self._writer.receipt
        with ThreadPoolExecutor(jobs) as parts, ThreadPoolExecutor(jobs) as files:
            sender = Sender(self._client, self._dandiset, parts, self._advance)
            futures: dict[Future[RemoteAsset], PlannedAsset] = {}
            try:
                for planned in self._plan.pending:
                    futures[files.submit(self._send, sender, planned)] = planned
                for future in as_completed(futures):
                    self._take(future, futures[future])
            except BaseException:
                self._client.abort()
                raise
        up = {asset.path for asset in receipt.assets}
        if self._client.asked_to_stop():
            receipt.outcome = "stopped"
        elif receipt.problems or any(planned.asset.path not in up for planned in self._plan.pending):
            receipt.outcome = "failed"
        else:
            receipt.outcome = "done"
            with suppress(ArchiveError, StopRequest):  # all is up; the SHA-256 stays unconfirmed
                self._confirm_sha256()

    def _send(self, sender: Sender, planned: PlannedAsset) -> RemoteAsset:
        try:
            return sender.send(planned, self._metadata[planned.asset.path])
        except ArchiveError as error:
            if error.is_silent or error.status in _FATAL:
                self._client.abort()
            raise

    def _advance(self, count: int) -> None:
        self._sent_bytes += count
        total = max(self._plan.pending_bytes, 1)
        if self._progress is not None:
            self._progress(self._sent_bytes / total, f"{self._sent_bytes / 1e6:.0f} of {total / 1e6:.0f} MB")

    def _take(self, future: Future[RemoteAsset], planned: PlannedAsset) -> None:
        try:
            remote = future.result()
        except StopRequest:
            return
        except NwbpipeError as error:
            problem = replace(error.problem, what=f"{planned.asset.file}: {error.problem.what}")
            self._writer.receipt.problems.append(str(problem))
            return
        state = "new" if planned.current is None else "changed"
        self._writer.add(_make_receipt(planned, remote, state))

    def _confirm_sha256(self) -> None:
        """Read the assets again whose SHA-256 the archive had not computed, for a few seconds."""
        receipt, end = self._writer.receipt, time.monotonic() + SHA256_WAIT_S
        while True:
            waiting = [asset for asset in receipt.assets if not asset.sha256_confirmed]
            for asset in waiting:
                remote = read_asset(self._client, self._dandiset, RemoteAsset(asset.asset_id, asset.path, asset.size))
                if remote.sha256 not in ("", asset.sha256):
                    message = f"{asset.file}: the archive computed another SHA-256"
                    problem = Problem(message, asset.path, asset.sha256, remote.sha256, "upload it again")
                    receipt.problems.append(str(problem))
                    receipt.assets.remove(asset)
                    receipt.outcome = "failed"
                elif remote.sha256:
                    receipt.assets[receipt.assets.index(asset)] = replace(asset, sha256_confirmed=True)
            remaining = end - time.monotonic()
            if remaining <= 0 or self._client.stopped() or all(asset.sha256_confirmed for asset in receipt.assets):
                return
            time.sleep(min(remaining, 1.0))
