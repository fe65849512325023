"""Uploads to a dandiset: compared by digest, sent, read back."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from nwbpipe.cli import main
from nwbpipe.errors import NwbpipeError
from nwbpipe.publish import UploadReport, _client, read_receipts, upload
from nwbpipe.stores import open_store
from tests.fixtures.archive import KEY, OTHER_KEY, SIGNATURE, UNAPPROVED_KEY, Archive

NWB, VIDEO = "sub-M1/sub-M1_ses-a.nwb", "sub-M1/session/face.mp4"
pytestmark = pytest.mark.usefixtures("quick")


def send(archive: Archive, *files: Path, **options: Any) -> UploadReport:
    return upload(files, instance=archive.api, dandiset="000123", **options)


def key_variable(archive: Archive) -> str:
    return f"127_0_0_1_{archive.server.server_port}_API_KEY"


def test_a_session_and_its_video_are_sent_and_read_back(archive: Archive, make_session: Callable[..., Path]) -> None:
    file = make_session()
    fractions: list[float] = []
    report = send(archive, file, progress=lambda fraction, text: fractions.append(fraction))
    assert report.in_order
    assert (min(fractions) >= 0, max(fractions), fractions[-1]) == (True, 1.0, 1.0)
    assert archive.contents() == {NWB: file.read_bytes(), VIDEO: b"video"}
    assert sorted((asset.path, asset.state, asset.sha256_confirmed) for asset in report.receipt.assets) == [
        (VIDEO, "new", True),
        (NWB, "new", True),
    ]
    again = send(archive, file)
    assert [planned.asset.path for planned in again.plan.unchanged] == [NWB, VIDEO]
    assert not again.plan.pending
    assert archive.received == file.stat().st_size + 5


def test_a_dry_run_sends_nothing_and_needs_no_key(
    archive: Archive, make_session: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(key_variable(archive))
    report = send(archive, make_session(), dry_run=True)
    assert [planned.asset.path for planned in report.plan.new] == [NWB, VIDEO]
    assert report.receipt is None
    assert archive.count("(POST|PUT)") == 0


def test_a_changed_file_is_sent_whatever_its_date(archive: Archive, make_session: Callable[..., Path]) -> None:
    file = make_session()
    send(archive, file)
    before = set(archive.dandisets["000123"].assets)
    stat = file.stat()
    with h5py.File(file, "r+") as opened:
        opened["general/session_id"][()] = "a"
        opened["general/lab"][()] = "Other"
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns - 10**15))
    report = send(archive, file)
    assert [planned.asset.path for planned in report.plan.changed] == [NWB]
    assert archive.contents()[NWB] == file.read_bytes()
    assert len(before & set(archive.dandisets["000123"].assets)) == 1  # the video's


def test_content_that_the_archive_has_is_not_sent_again(archive: Archive, make_session: Callable[..., Path]) -> None:
    file = make_session()
    archive.add_blob(file.read_bytes())
    archive.add_blob(b"video")
    assert send(archive, file).in_order
    assert archive.received == 0
    assert set(archive.contents()) == {NWB, VIDEO}


def test_several_parts_and_pages(archive: Archive, make_session: Callable[..., Path]) -> None:
    files = [make_session(f"s{number}.nwb", session=f"s{number}") for number in range(3)]
    assert files[0].stat().st_size > 2**17  # three parts or more
    assert send(archive, *files).in_order
    assert len(archive.contents()) == 6
    assert len(send(archive, *files).plan.unchanged) == 6


def test_a_file_that_is_misspelt_ends_all(archive: Archive, make_session: Callable[..., Path]) -> None:
    file = make_session()
    with pytest.raises(NwbpipeError, match=r"nothing was sent") as caught:
        send(archive, file, file.with_name("sesion.nwb"))
    assert caught.value.exit_code == 2
    assert "did you mean 'session.nwb'" in str(caught.value)
    assert not archive.calls


@pytest.mark.parametrize(
    ("key", "dandiset", "words"),
    [
        ("", "000123", "there is no key"),
        ("wrong", "000123", "does not know the key"),
        ("two\nlines", "000123", "no key has"),
        (UNAPPROVED_KEY, "000123", "has not approved you"),
        (OTHER_KEY, "000123", "only owners"),
        (OTHER_KEY, "000124", "it is embargoed"),
        (KEY, "000125", "embargo of the dandiset 000125 is just being lifted"),
        (KEY, "000999", "there is no dandiset 000999"),
        (KEY, "123", "six digits"),
    ],
)
def test_who_may_not_upload_is_told_so(
    archive: Archive, make_session: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], key: str, dandiset: str, words: str,
) -> None:  # fmt: skip
    archive.add_dandiset("000124", embargo="EMBARGOED")
    archive.add_dandiset("000125", embargo="UNEMBARGOING")
    monkeypatch.setenv(key_variable(archive), key)
    with pytest.raises(SystemExit) as caught:
        main(["upload", str(make_session()), "--instance", archive.api, "--dandiset", dandiset])
    assert caught.value.code in (1, 2)
    printed = capsys.readouterr()
    assert words in printed.err
    assert key not in (printed.out + printed.err) or not key
    assert not any(stored.assets for stored in archive.dandisets.values())
    assert archive.received == 0


def test_an_owner_uploads_to_an_embargoed_dandiset(archive: Archive, make_session: Callable[..., Path]) -> None:
    archive.dandisets["000123"].embargo = "EMBARGOED"
    assert send(archive, make_session()).in_order


@pytest.mark.parametrize(
    ("instance", "words"),
    [
        (None, "not named"),
        ("dandy", "did you mean 'dandi'"),
        ("http://archive.example.org/api", "plain text"),
        ("https://user:word@archive.example.org/api", "more than its address"),
    ],
)
def test_the_archive_must_be_named_and_safe(
    make_session: Callable[..., Path], instance: str | None, words: str
) -> None:
    with pytest.raises(NwbpipeError) as caught:
        upload([make_session()], instance=instance, dandiset="000123")
    assert words in str(caught.value)
    assert "user:word" not in str(caught.value)


def test_an_archive_that_dies_in_the_middle_leaves_nothing_half_done(
    archive: Archive, make_session: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    files = [make_session(f"s{number}.nwb", session=f"s{number}", video=b"") for number in range(2)]
    for file in files:
        with h5py.File(file, "r+") as opened:
            del opened["acquisition/face"]
    archive.fault = lambda call: "drop" if archive.count("PUT /s3") > 2 else None
    report = send(archive, *files, jobs=1)
    assert report.receipt.outcome == "failed"
    assert len(report.receipt.problems) == 1  # the first ends all
    assert "does not answer" in report.receipt.problems[0]
    assert not archive.contents()
    texts = json.dumps(report.as_dict()) + caplog.text
    assert SIGNATURE not in texts
    assert KEY not in texts
    archive.fault = lambda call: None
    assert send(archive, *files).in_order
    assert len(archive.contents()) == 2


def test_answers_that_are_lost_are_asked_for_again(
    archive: Archive, make_session: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_client, "WAITS", (0.0, 0.0, 0.0))
    seen: set[str] = set()

    def fault(call: str) -> int | str | None:
        kind = call.partition("/s3/")[1] or call
        if call.startswith("POST /api/dandisets/") and call not in seen:
            seen.add(call)  # the asset is made, and the answer is lost
            archive.add_asset(VIDEO, b"video")
            return "drop"
        if kind in seen:
            return None
        seen.add(kind)
        return 503 if len(seen) % 2 else "drop"

    archive.fault = fault
    file = make_session()
    assert send(archive, file, jobs=1).in_order
    assert archive.contents() == {NWB: file.read_bytes(), VIDEO: b"video"}


def test_a_stop_marks_nothing_as_sent(archive: Archive, make_session: Callable[..., Path]) -> None:
    file = make_session()
    report = send(archive, file, jobs=1, stopped=lambda: archive.count("PUT /s3") > 1)
    assert report.receipt.outcome == "stopped"
    assert not report.in_order
    assert NWB not in archive.contents()
    assert NWB not in [asset.path for asset in report.receipt.assets]
    with pytest.raises(KeyboardInterrupt):
        send(archive, file, stopped=lambda: True)
    assert send(archive, file).in_order


def test_a_file_that_changes_while_it_is_sent_is_not_published(
    archive: Archive, make_session: Callable[..., Path]
) -> None:
    file = make_session()

    def fault(call: str) -> None:
        if call.endswith("/initialize/"):
            with file.open("r+b") as opened:
                opened.seek(-1, os.SEEK_END)
                opened.write(b"\xff")

    archive.fault = fault
    report = send(archive, file)
    assert "changed while it was sent" in report.receipt.problems[0]
    assert list(archive.contents()) == [VIDEO]
    assert [asset.path for asset in report.receipt.assets] == [VIDEO]


def test_the_same_content_may_come_from_elsewhere_meanwhile(
    archive: Archive, make_session: Callable[..., Path]
) -> None:
    file = make_session()
    pending = [file.read_bytes()]
    archive.fault = lambda call: archive.add_blob(pending.pop()) and None if "validate" in call and pending else None
    assert send(archive, file, jobs=1).in_order


def test_other_content_than_was_sent_is_never_taken_for_it(
    archive: Archive, make_session: Callable[..., Path]
) -> None:
    def fault(call: str) -> None:
        if call.startswith("GET /api/dandisets/000123/versions/draft/assets/") and len(call) > 60:
            archive.blobs.update(dict.fromkeys(archive.blobs, b"rotten"))

    archive.fault = fault
    report = send(archive, make_session(), jobs=1)
    assert report.receipt.outcome == "failed"
    assert len(report.receipt.problems) == 2  # the first does not hold up the second
    assert all("other content than was sent" in problem for problem in report.receipt.problems)
    assert not report.receipt.assets


def test_an_archive_that_dies_when_all_is_up_has_all(archive: Archive, make_session: Callable[..., Path]) -> None:
    archive.knows_sha256 = False
    single_asset = "GET /api/dandisets/000123/versions/draft/assets/.+"
    archive.fault = lambda call: "drop" if re.match(single_asset, call) and archive.count(single_asset) > 2 else None
    report = send(archive, make_session())
    assert archive.count(single_asset) == 3
    assert report.receipt.outcome == "done"
    assert [asset.sha256_confirmed for asset in report.receipt.assets] == [False, False]


@pytest.mark.parametrize("answer", [b"<html>", b"[1]", b""])
@pytest.mark.parametrize("call", ["POST .*/initialize/", "POST .*/complete/", "POST .*/validate/", "POST .*/assets/"])
def test_an_answer_of_another_form_is_told(
    archive: Archive, make_session: Callable[..., Path], call: str, answer: bytes
) -> None:
    archive.fault = lambda asked: answer if re.match(call, asked) else None
    report = send(archive, make_session())
    assert report.receipt.outcome == "failed"
    assert len(report.receipt.problems) == 2
    assert all("nwbpipe does not understand" in problem for problem in report.receipt.problems)


def test_someone_else_changes_the_dandiset_meanwhile(archive: Archive, make_session: Callable[..., Path]) -> None:
    archive.add_asset(NWB, b"old")

    def fault(call: str) -> None:
        if call.startswith("PUT /api"):
            archive.dandisets["000123"].assets.clear()
            archive.add_asset(NWB, b"theirs")

    archive.fault = fault
    report = send(archive, make_session(), jobs=1)
    assert "someone else changed the dandiset" in report.receipt.problems[0]
    assert archive.contents()[NWB] == b"theirs"


def test_a_refused_file_holds_up_the_others_unless_asked(
    archive: Archive, make_session: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = make_session(), make_session("bad.nwb", session="b", video=b"")
    words = ["upload", str(good), str(bad), "--instance", archive.api, "--dandiset", "000123"]
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 1
    assert not archive.contents()
    printed = capsys.readouterr().out
    assert "the video is missing" in printed
    assert "nothing was sent" in printed
    with pytest.raises(SystemExit) as caught:
        main([*words, "--skip-refused"])
    assert caught.value.code == 1
    assert set(archive.contents()) == {NWB, VIDEO}


def test_a_zarr_folder_at_the_place_is_not_replaced(archive: Archive, make_session: Callable[..., Path]) -> None:
    asset_id = archive.add_asset(NWB, b"x")
    archive.dandisets["000123"].assets[asset_id]["zarr"] = "z"
    report = send(archive, make_session())
    assert "a Zarr folder has this place" in report.plan.refused[0].problems[0].what


PROJECT = """\
nwbpipe = 1
[project]
name = "lab"
sessions = "nwb://*.nwb"
[stores]
nwb = "."
state = "state"
[publish]
name = "Mice"
description = "Mice that press levers."
licence = "CC0-1.0"
[[publish.contributors]]
name = "Doe, Jane"
email = "jane@example.org"
roles = ["ContactPerson", "Author"]
"""


def test_a_project_creates_its_dandiset_once_and_keeps_the_receipt(
    archive: Archive, make_session: Callable[..., Path], tmp_path: Path
) -> None:
    make_session()
    (tmp_path / "nwbpipe.toml").write_text(PROJECT)
    report = upload([tmp_path], instance=archive.api, create=True)
    created = report.receipt.dandiset
    assert archive.dandisets[created].name == "Mice"
    assert archive.dandisets[created].metadata["license"] == ["spdx:CC0-1.0"]
    assert set(archive.contents(created)) == {NWB, VIDEO}
    store = open_store(tmp_path / "state")
    assert [receipt.as_dict() for receipt in read_receipts(store)] == [report.receipt.as_dict()]
    assert KEY not in json.dumps(report.receipt.as_dict())
    with pytest.raises(NwbpipeError, match="has created a dandiset before"):
        upload([tmp_path], instance=archive.api, create=True)
    (tmp_path / "state").rename(tmp_path / "old state")
    archive.fault = lambda call: b"[1]" if call == "POST /api/dandisets/" else None
    with pytest.raises(NwbpipeError, match="nwbpipe does not understand"):
        upload([tmp_path], instance=archive.api, create=True)
    (tmp_path / "old state").rename(tmp_path / "state")
    store.write_bytes("uploads/x/000123/damaged.json", b'{"format": 1')
    assert len(read_receipts(store)) == 1


def test_log_and_status_show_the_receipts(
    archive: Archive, make_session: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_session()
    (tmp_path / "nwbpipe.toml").write_text(PROJECT)
    upload([tmp_path], instance=archive.api, dandiset="000123")
    target = f"dandiset 000123 (draft) at {archive.api.split('/')[2]}"
    main_in_process("log", "--project", str(tmp_path))
    assert f"upload to {target}  done  2 files sent, 0 were there" in capsys.readouterr().out
    main_in_process("status", "--project", str(tmp_path))
    assert "1 sessions, 0 changed since" in capsys.readouterr().out
    file.touch()
    main_in_process("status", "--json", "--project", str(tmp_path))
    [shown] = json.loads(capsys.readouterr().out)["uploads"]
    assert (shown["session"], shown["dandiset"], shown["is_current"]) == ("M1/a", "000123", False)


def main_in_process(*words: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    assert caught.value.code == 0


def test_a_dandiset_that_is_not_described_is_not_created(
    archive: Archive, make_session: Callable[..., Path], tmp_path: Path
) -> None:
    make_session()
    (tmp_path / "nwbpipe.toml").write_text(PROJECT.partition("[publish]")[0])
    with pytest.raises(NwbpipeError) as caught:
        upload([tmp_path], instance=archive.api, create=True)
    assert caught.value.code == "NP101"
    assert len(caught.value.problems) == 4
    assert list(archive.dandisets) == ["000123"]
