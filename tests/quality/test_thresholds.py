"""Sets of thresholds: read, hashed, refused, and what they say."""

from __future__ import annotations

import pytest

from nwbpipe.errors import SpecError
from nwbpipe.quality import ThresholdSet, default_thresholds, list_metrics, read_thresholds

BOUNDS = {"warn_below": 5.0, "fail_below": 2.0, "warn_above": 10.0, "fail_above": 20.0}


def test_bounds_are_judged():
    chosen = ThresholdSet.from_dict({"name": "a", "roi": {"area": BOUNDS}})
    for value, verdict in ((1, "fail"), (2, "warn"), (5, "pass"), (10, "pass"), (11, "warn"), (21, "fail")):
        assert chosen.judge("roi", {"area": value})[0] == verdict
    assert chosen.judge("roi", {"area": 1.0}) == ("fail", ["fail: area 1 is below 2"])
    assert chosen.judge("roi", {"area": float("nan")}) == ("warn", ["warn: area is unknown"])
    assert chosen.judge("roi", {"snr": 1.0}) == ("pass", [])
    assert chosen.judge("scan", {"area": 1.0}) == ("pass", [])


def test_the_worst_reason_is_the_verdict():
    chosen = ThresholdSet.from_dict({"name": "a", "roi": {"area": BOUNDS, "snr": {"warn_below": 0.5}}})
    verdict, reasons = chosen.judge("roi", {"area": 0.0, "snr": 0.1})
    assert verdict == "fail"
    assert [reason[:4] for reason in reasons] == ["fail", "warn"]


def test_the_hash_is_of_name_and_bounds():
    chosen = ThresholdSet.from_dict({"name": "a", "roi": {"area": BOUNDS}})
    assert chosen.hash == ThresholdSet.from_dict({"roi": {"area": dict(reversed(BOUNDS.items()))}, "name": "a"}).hash
    assert chosen.hash != ThresholdSet.from_dict({"name": "b", "roi": {"area": BOUNDS}}).hash
    assert chosen.hash != ThresholdSet.from_dict({"name": "a", "roi": {"area": {**BOUNDS, "warn_below": 6.0}}}).hash
    assert ThresholdSet.from_dict(chosen.as_dict()) == chosen


def test_the_default_set_is_valid_and_has_a_file_form(tmp_path):
    chosen = default_thresholds()
    lines = [f'name = "{chosen.name}"']
    for of, metrics in chosen.bounds.items():
        for metric, bounds in metrics.items():
            lines += [f"[{of}.{metric}]", *(f"{bound} = {value}" for bound, value in bounds.items())]
    path = tmp_path / "set.toml"
    path.write_text("\n".join(lines))
    assert read_thresholds(path, list_metrics()).hash == chosen.hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 1", "value of 'name' has the wrong type"),
        ('name = "a"\n[rois.area]\nwarn_below = 1', "the key 'rois' is unknown"),
        ('name = "a"\n[roi.aera]\nwarn_below = 1', "did you mean 'area'"),
        ('name = "a"\n[roi.area]\nwarn_under = 1', "the key 'warn_under' is unknown"),
        ('name = "a"\n[roi.area]\nwarn_below = "1"', "expected: a number"),
        ('name = "a"\n[roi.area]\nwarn_below = nan', "expected: a finite number"),
        ('name = "a"\n[roi.area]\nwarn_below = 1\nfail_below = 2', "must be worse"),
        ('name = "a"\n[roi.area]\nwarn_above = 2\nfail_above = 1', "must be worse"),
        ('name = "a"\n[roi.area]\nwarn_below = true', "expected: a number"),
        ('name = "a"\n[roi.area]', "needs bounds"),
        ('name = "a"\n[roi]\narea = 5', "the value of 'area' has the wrong type"),
        ("name = ", "is not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    path = tmp_path / "set.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=message) as caught:
        read_thresholds(path, list_metrics())
    assert "set.toml" in str(caught.value)
