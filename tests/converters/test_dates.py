"""A subject's dates and age against the session's start."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from nwbpipe.converters._dates import check_dates
from nwbpipe.converters.spec._model import SubjectSpec

START = datetime.fromisoformat("2024-05-01T10:00:00-04:00")
BORN = "2024-02-01T00:00:00-05:00"  # 90.4 days before


def found(**more: Any) -> list[str]:
    values = {"subject_id": "M1", "species": "Mus musculus", "sex": "F", **more}
    return [problem.where or "" for problem in check_dates(SubjectSpec.model_validate(values), START)]


@pytest.mark.parametrize("age", ["P90D", "P91D", "P3M", "P13W", "P80D/P100D", "P80D/", "P0Y", "P12W6D"])
def test_an_age_that_fits(age: str) -> None:
    assert found(age=age, date_of_birth=BORN) == []


@pytest.mark.parametrize("age", ["P60D", "P120D", "P9M", "P2Y", "P100D/P110D", "P110D/", "P10W"])
def test_an_age_that_is_not_the_difference(age: str) -> None:
    assert found(age=age, date_of_birth=BORN) == ["subject.age"]
    assert found(age=age) == []
    assert found(age=age, date_of_birth=BORN, age__reference="gestational") == []


def test_born_after_the_session() -> None:
    assert found(date_of_birth="2024-05-02T00:00:00-04:00", age="P90D") == ["subject.date_of_birth"]


def test_surgeries_within_the_life() -> None:
    surgeries = [{"procedure": "x", "date": day} for day in ("2024-03-01", "2024-05-01", "2024-06-01", "2023-01-01")]
    assert found(surgeries=surgeries, date_of_birth=BORN) == ["subject.surgeries.2.date", "subject.surgeries.3.date"]
    assert found(surgeries=surgeries) == ["subject.surgeries.2.date"]
