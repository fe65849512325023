"""What plots are made of: envelopes, ticks, outlines, averages around events, correlograms and the graph of runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from hdmf.utils import StrDataset

from nwbpipe.report import _envelope
from nwbpipe.report._envelope import read_envelope, read_rows
from nwbpipe.report._ephys import correlate_train
from nwbpipe.report._overview import _join
from nwbpipe.report._picture import outline_mask, scale_to_bytes
from nwbpipe.report._plot import Plot, choose_ticks
from nwbpipe.report._provenance import find_edges
from nwbpipe.report._signals import average_around


def make_series(data: Any, **options: Any) -> SimpleNamespace:
    values = {"timestamps": None, "rate": None, "starting_time": None, "conversion": 1.0, "offset": 0.0}
    return SimpleNamespace(data=np.asarray(data), **values | options)


def test_an_envelope_holds_every_value() -> None:
    values = np.random.default_rng(1).normal(size=(10_007, 3))
    envelope = read_envelope(make_series(values, rate=100.0, starting_time=5.0, conversion=-2.0, offset=1.0), bins=50)
    assert envelope.low.shape == (50, 3)
    np.testing.assert_allclose(envelope.low.min(axis=0), (values * -2 + 1).min(axis=0))
    np.testing.assert_allclose(envelope.high.max(axis=0), (values * -2 + 1).max(axis=0))
    peak = int(values[:, 1].argmin())  # the highest, as the conversion is negative
    assert abs(envelope.times[envelope.high[:, 1].argmax()] - (5 + peak / 100)) <= 10_007 / 100 / 50


def test_samples_have_the_gain_of_their_channel() -> None:
    series = make_series([[1, 1], [2, 0]], rate=1.0, conversion=2.0, channel_conversion=np.array([1.0, 3.0]))
    np.testing.assert_array_equal(read_rows(series, 0, 1), [[2, 6]])
    np.testing.assert_array_equal(read_envelope(series).high.max(axis=0), [4, 6])
    np.testing.assert_array_equal(read_envelope(series, 1).high.max(axis=0), [4])


def test_a_gap_in_the_times_is_a_gap_in_the_envelope() -> None:
    times = np.r_[np.arange(0, 10, 0.1), np.arange(50, 60, 0.1)]
    envelope = read_envelope(make_series(np.ones(200), timestamps=times), bins=60)
    inside = (envelope.times > 10) & (envelope.times < 49.9)
    assert np.isnan(envelope.low[inside]).all()
    assert not np.isnan(envelope.low[~inside]).any()


def test_long_data_are_read_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_envelope, "_MOST", 1000)
    envelope = read_envelope(make_series(np.arange(100_000.0), rate=1000.0), bins=10)
    assert envelope.is_sampled
    np.testing.assert_array_equal(envelope.low[:, 0], np.arange(10) * 10_000)
    np.testing.assert_array_equal(envelope.high[:, 0], np.arange(10) * 10_000 + 99)


def test_ticks_are_round_and_few() -> None:
    assert choose_ticks(0, 10, most=5) == [0, 2, 4, 6, 8, 10]
    assert choose_ticks(-0.31, 0.29, most=3) == [-0.2, 0.0, 0.2]
    assert choose_ticks(3, 3) == []
    assert choose_ticks(0, float("nan")) == []


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    plot = Plot((0, 4), (0, 1))
    plot.line([0, 1, 2, 3, 4], [0, 1, np.nan, 1, 0])
    path = next(part for part in plot._parts if part.startswith("<path"))
    assert path.count("M") == 2
    assert "nan" not in path


def test_texts_are_escaped() -> None:
    plot = Plot((0, 1), (0, 1), x_label="<b>", label='a"b')
    plot.points([0.5], [0.5], texts=["<i>\x07"])
    text = str(plot.render())
    assert "<b>" not in text
    assert "<i>" not in text
    assert "\x07" not in text
    assert 'aria-label="a&#34;b"' in text


@pytest.mark.parametrize("mask", [[[1]], [[1, 1], [0, 1]], [[1, 0, 1]]])
def test_an_outline_has_every_edge(mask: list[list[int]]) -> None:
    array = np.asarray(mask, dtype=bool)
    padded = np.pad(array, 1).astype(int)
    edges = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    path = outline_mask(array, 0, 0, 1.0)
    lengths = [float(part.split("h")[-1].split("v")[-1]) for part in path.split("M")[1:]]
    assert sum(lengths) == edges


def test_bytes_of_a_picture() -> None:
    np.testing.assert_array_equal(scale_to_bytes(np.array([[0.0, 1.0, np.nan, 3.0]]), 0.0, 2.0), [[0, 128, 0, 255]])
    np.testing.assert_array_equal(scale_to_bytes(np.full((2, 2), 7.0)), np.zeros((2, 2)))


def test_an_average_around_events() -> None:
    times = np.arange(0, 100, 0.05)
    values = np.column_stack([times % 10, np.ones_like(times)])
    window, mean, error, count = average_around(times, values, np.array([0.5, 10.0, 20.0, 30.0, 97.0]))
    assert count == 3  # the first and last windows leave the recording
    at = int(np.argmin(abs(window - 3)))
    np.testing.assert_allclose(mean[at], [window[at], 1.0], atol=0.06)
    np.testing.assert_allclose(error[at], 0, atol=1e-6)


def test_a_correlogram() -> None:
    edges, counts = correlate_train(np.array([0.0, 0.0105, 0.5, 0.5105, 0.9]))
    assert counts.sum() == 4
    np.testing.assert_array_equal(counts, counts[::-1])
    assert counts[np.searchsorted(edges, 0.0105) - 1] == 2


def test_edges_of_the_graph() -> None:
    def make_record(*inputs: str, outputs: tuple[str, ...]) -> SimpleNamespace:
        paths = [SimpleNamespace(path=path) for path in inputs], [SimpleNamespace(path=path) for path in outputs]
        return SimpleNamespace(inputs=paths[0], outputs=paths[1])

    records = [
        make_record(outputs=("/acquisition/movie",)),
        make_record("/acquisition/movie", outputs=("/processing/ophys/Seg",)),
        make_record("/processing/ophys/Seg/plane", outputs=("/processing/ophys/dff",)),
        make_record("/processing/ophys/Segment", outputs=("/x",)),
    ]
    assert find_edges(records) == {(0, 1), (1, 2)}  # type: ignore[arg-type]


def test_fields_that_are_lists_are_shown_as_texts() -> None:
    assert _join(("Doe, Jane", "R")) == "Doe, Jane, R"
    with h5py.File("texts", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("keywords", data=["one", "two"])
        assert _join(StrDataset(dataset, None)) == "one, two"
        assert _join(dataset) == "one, two"
    assert _join(None) == ""
