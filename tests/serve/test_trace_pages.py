"""Series by ranges of time: the plot shows what h5py reads, and reading is bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe.errors import RequestError, WorkError
from nwbpipe.project import Project
from nwbpipe.serve import _series
from nwbpipe.serve._aside import AsideReader
from nwbpipe.serve._series import Series, draw_series, list_series, read_window
from nwbpipe.session import SessionFile
from tests.serve.visitor import Visitor, read_text

LEVER = "/acquisition/lever"


@pytest.fixture
def file(lab: Project) -> Iterator[Any]:
    """A session file of 10,000 samples of three channels at 100 Hz from 5 s, open for changes."""
    with h5py.File(lab.spec.folder / "nwb" / "s0.nwb", "r+") as file:
        group = file[LEVER]
        attributes = dict(group["data"].attrs)
        for name in ("data", "starting_time", "timestamps"):
            if name in group:
                del group[name]
        data = group.create_dataset("data", data=np.random.default_rng(0).normal(size=(10_000, 3)))
        data.attrs.update({**attributes, "conversion": 2.0, "offset": 1.0, "unit": "<b>V</b>"})
        group["starting_time"] = 5.0
        group["starting_time"].attrs.update({"rate": 100.0, "unit": "seconds"})
        yield file


@pytest.mark.parametrize("stamped", [False, True])
def test_a_part_holds_what_h5py_reads(file: Any, stamped: bool) -> None:
    times, values = 5 + np.arange(10_000) / 100, 2 * file[LEVER]["data"][()] + 1
    if stamped:
        del file[LEVER]["starting_time"]
        file[LEVER]["timestamps"] = times
    envelope, about = read_window(file, LEVER, 10.0, 12.0, 1, 10**6)
    inside = (times >= 10 - 0.02) & (times <= 12 + 0.02)
    kept = (envelope.times >= 10) & (envelope.times <= 12)
    np.testing.assert_allclose(envelope.low[kept], values[(times >= 10) & (times <= 12), 1:][: kept.sum()], atol=1e-9)
    assert (about["first"], about["channels"], about["whole"]) == (1, 3, [5.0, pytest.approx(104.99)])
    assert about["samples"] <= inside.sum() + 2
    envelope, about = read_window(file, LEVER, None, None, 0, 10**6)
    assert envelope.low.shape == (800, 3)
    assert envelope.low.min() == values.min()
    assert envelope.high.max() == values.max()
    assert not about["is_cut"]


def test_reading_is_bounded(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    getitem = h5py.Dataset.__getitem__

    def count(dataset: Any, key: Any, **options: Any) -> Any:
        part = getitem(dataset, key, **options)
        reads.append(np.size(part))
        return part

    monkeypatch.setattr(h5py.Dataset, "__getitem__", count)
    _, about = read_window(file, LEVER, 20.0, 90.0, 0, 300)
    assert about["is_cut"]
    assert about["start"] == 20
    assert about["stop"] == pytest.approx(21.0, abs=0.03)
    assert sum(reads) < 400


@pytest.mark.parametrize(
    ("start", "stop"), [(3.0, 2.0), (float("nan"), 1.0), (-1e308, 1e308), (1e9, 2e9), (7.0, 7.0), (10.001, 10.002)]
)
def test_any_window_is_answered(file: Any, start: float, stop: float) -> None:
    envelope, about = read_window(file, LEVER, start, stop, 10**6, 10**6)
    assert envelope.low.shape[1] == 1  # the last channel
    assert about["first"] == 2
    assert len(envelope.times)


@pytest.mark.parametrize(
    "path", ["/nothing", "/general", "/acquisition", "", "acquisition/lever/data", "/" + "x" * 5000]
)
def test_other_objects_are_no_series(file: Any, path: str) -> None:
    with pytest.raises(RequestError, match="no such series"):
        read_window(file, path, None, None, 0, 10)


@pytest.mark.parametrize("gap", [None, 0, 5000])
def test_times_that_do_not_rise_are_refused(file: Any, gap: int | None) -> None:
    times = np.random.default_rng(1).permutation(10_000) / 100
    if gap is not None:
        times.sort()
        times[gap] = np.nan
    del file[LEVER]["starting_time"]
    file[LEVER]["timestamps"] = times
    with pytest.raises(RequestError, match="do not rise"):
        read_window(file, LEVER, None, None, 0, 10**6)


def test_the_page_shows_series_and_moves_by_links(visitor: Visitor, made_lab: Path) -> None:
    page = visitor.get("/session/m1/s1").text
    assert 'href="/session/m1/s1/traces"' in page
    page = visitor.get("/session/m1/s1/traces").text
    listed = list_series(str(made_lab / "nwb" / "s1.nwb"))
    assert re.findall(r'<option value="([^"]+)"', page) == [item["path"] for item in listed]
    assert LEVER in page
    with h5py.File(made_lab / "nwb" / "s1.nwb") as file:
        low, high = Series(file[LEVER]).limits
    links = dict(re.findall(r'data-move="([^"]+)" href="[^"]*\?([^"]+)"', page))
    assert f"from={(low + (high - low) / 4)!r}" in links["zoom in"]
    part = visitor.get(f"/session/m1/s1/part/trace?{links['zoom in'].replace('&amp;', '&')}")
    assert part.status_code == 200
    assert "<svg" in part.text
    assert "<html" not in part.text
    for query in ("path=/nothing", f"path={LEVER}&from=x&to=nan&first=-1", f"path={LEVER}&first=99999999999"):
        assert visitor.get(f"/session/m1/s1/traces?{query}").status_code == (400 if "nothing" in query else 200)
    assert visitor.get("/session/m1/none/traces").status_code == 404


def test_many_channels_are_shown_eight_at_a_time(file: Any, lab: Project) -> None:
    attributes = dict(file[LEVER]["data"].attrs)
    del file[LEVER]["data"]
    file[LEVER].create_dataset("data", data=np.zeros((100, 20))).attrs.update(attributes)
    file.close()
    lab_visitor, shown, query = Visitor(lab.spec.folder), [], f"path={LEVER}"
    while query:
        page = lab_visitor.get(f"/session/m1/s0/traces?{query}").text
        shown += re.findall(r"channels (\d+) to (\d+) of 20", page)
        links = dict(re.findall(r'data-move="([^"]+)" href="[^"]*\?([^"]+)"', page))
        assert ("channels before" in links) == (len(shown) > 1)
        query = links.get("next channels", "").replace("&amp;", "&")
    assert shown == [("0", "7"), ("8", "15"), ("16", "19")]


def test_texts_of_a_file_are_text(file: Any, lab: Project) -> None:
    file.close()
    drawn = draw_series(str(lab.spec.folder / "nwb" / "s0.nwb"), LEVER, None, None, 0)
    assert "&lt;b&gt;V" in drawn["svg"]
    assert "<b>" not in drawn["svg"]


def test_a_process_that_ends_or_hangs_is_told_and_the_next_one_answers(lab: Project) -> None:
    location = str(lab.spec.folder / "nwb" / "s0.nwb")
    reader = AsideReader()
    try:
        with pytest.raises(WorkError, match="ended"):
            reader.call("no such function")
        assert reader.call("list_series", location) == list_series(location)
        with pytest.raises(RequestError, match="no such series"):
            reader.call("draw_series", location, "/nothing", None, None, 0)
        with pytest.raises(RequestError):
            reader.call("list_series", location + "x")
        reader._timeout_s = 0.0
        with pytest.raises(WorkError, match="not read within"):
            reader.call("list_series", location)
        assert reader._process is None
    finally:
        reader.close()


def test_fewer_values_are_read_of_a_file_in_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []

    class Far:
        is_local = False

        def read(self, function: Any) -> Any:
            return function(type("Reader", (), {"file": None}))

    def read(*arguments: Any) -> Any:
        given.append(arguments[-1])
        raise RequestError("far")

    monkeypatch.setattr(SessionFile, "at", lambda _: Far())
    monkeypatch.setattr(_series, "read_window", read)
    with pytest.raises(RequestError):
        draw_series("s3://bucket/a.nwb", LEVER, None, None, 0)
    assert given == [4_000_000]


def test_read_text_of_a_part_names_it(visitor: Visitor) -> None:
    assert " of " in read_text(visitor.get(f"/session/m1/s1/part/trace?path={LEVER}").text)
