"""Every dataset and every attribute of a session file, changed one by one by a foreign program (h5py)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nwbpipe.errors import InputError
from nwbpipe.provenance import identify_object
from tests.provenance.nwb import (
    CURRENT,
    EPHYS,
    MASKS,
    MOVIE,
    PIXEL_TRACES,
    PIXELS,
    SPEED,
    TARGETS,
    TRACES,
    VIDEO,
    write_session,
)

# What must not count, whatever the object: names, ids, free text.
FREE = {"object_id", "namespace", "description", "comments", "serial_number"}

DEVICE = r"/general/devices/probe@neurodata_type"
PLANE = r"/general/optophysiology/plane([/@].*)?(?<!/description)"
STAMPS = r"/acquisition/speed/timestamps(@.*)?"
TABLE = "/general/extracellular_ephys/electrodes"


def below(path: str) -> str:
    return re.escape(path) + "([/@].*)?"


# What counts, by hand: values ("path") and attributes ("path@name").
COUNTS = {
    EPHYS: [
        below(EPHYS),
        rf"{TABLE}/(id|x|y|z|imp|rel_x|location|filtering|group|group_name)(@.*)?",
        rf"{TABLE}@(colnames|neurodata_type)",
        r"/general/extracellular_ephys/CA[13]([/@].*)?",
        DEVICE,
    ],
    MOVIE: [below(MOVIE), PLANE, DEVICE],
    SPEED: [below(SPEED)],
    CURRENT: [below(CURRENT), STAMPS],
    VIDEO: [below(VIDEO), STAMPS, DEVICE],
    MASKS: [below(MASKS), below(MOVIE), PLANE, DEVICE],
    PIXELS: [below(PIXELS), PLANE, DEVICE],
    # "quality" is the first of the names in colnames that is changed: not one of a mask.
    TRACES: [below(TRACES), rf"{MASKS}/(id|image_mask)(@.*)?", rf"{MASKS}@neurodata_type", PLANE, DEVICE],
    PIXEL_TRACES: [
        below(PIXEL_TRACES),
        rf"{PIXELS}/(id|pixel_mask)(@.*)?",
        rf"{PIXELS}/pixel_mask_index",
        rf"{PIXELS}@(colnames|neurodata_type)",
        PLANE,
        DEVICE,
    ],
}


def counts(target: str, item: str) -> bool:
    _, _, name = item.partition("@")
    return name not in FREE and any(re.fullmatch(pattern, item) for pattern in COUNTS[target])


def objects(group: h5py.Group) -> Iterator[Any]:
    """Every group and dataset by its hard link, the cached specifications left out."""
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.HardLink) and name != "specifications":
            yield group[name]
            if isinstance(group[name], h5py.Group):
                yield from objects(group[name])


def changed(value: Any, file: h5py.File) -> Any:
    """Another value of the same type; of an array, the first element is changed."""
    if isinstance(value, h5py.Reference):
        names = ("/general/extracellular_ephys/CA1", "/general/extracellular_ephys/CA3")
        return next(file[name].ref for name in names if file[name] != file[value])
    if isinstance(value, bytes | str):
        return value + (b"x" if isinstance(value, bytes) else "x")
    if isinstance(value, np.ndarray):
        if not value.size:
            return None
        other = value.copy()
        other.flat[0] = changed(value.reshape(-1)[0], file)
        return other
    if isinstance(value, np.void):
        other = value.copy()
        other[value.dtype.names[-1]] += 1
        return other
    if isinstance(value, np.bool_):
        return ~value
    return value + type(value)(1)


def identities(file: h5py.File, folder: Path) -> dict[str, str]:
    found = {}
    for target in TARGETS:
        try:
            found[target] = identify_object(file, target, folder=folder)
        except InputError as error:  # an external file that is not there, rows that are not there
            found[target] = str(error)
    return found


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("session") / "session.nwb")


@pytest.mark.parametrize(
    "every", [8, pytest.param(4, marks=pytest.mark.thorough), pytest.param(1, marks=pytest.mark.long)]
)
def test_every_value_and_every_attribute(session: Path, every: int) -> None:
    """Each eighth of them; each fourth in the thorough tests, and each one in the long ones."""
    wrong = []
    seen = dict.fromkeys(TARGETS, 0)
    number = 0

    def is_next() -> bool:
        nonlocal number
        number += 1
        return number % every == 0

    def check(item: str) -> None:
        now = identities(file, session.parent)
        for target in TARGETS:
            is_changed, expected = now[target] != before[target], counts(target, item)
            seen[target] += expected
            if is_changed != expected:
                wrong.append(f"{target}: {item} {'changes' if is_changed else 'does not change'} it")

    with h5py.File(session, "r+") as file:
        before = identities(file, session.parent)
        assert len(set(before.values())) == len(TARGETS)
        for obj in list(objects(file)):
            if isinstance(obj, h5py.Dataset):
                value = obj[()]
                other = changed(value, file)
                if other is not None and is_next():
                    obj[()] = other
                    check(obj.name)
                    obj[()] = value
            for name in filter(lambda _: is_next(), list(obj.attrs)):
                attribute = obj.attrs.get_id(name)
                value, dtype, shape = obj.attrs[name], attribute.dtype, attribute.shape
                del attribute  # while it is open, HDF5 keeps its old value
                obj.attrs.create(name, changed(value, file), shape, dtype)
                check(f"{obj.name}@{name}")
                obj.attrs.create(name, value, shape, dtype)
        assert identities(file, session.parent) == before
    assert not wrong, "\n".join(wrong)
    assert number > 250
    assert min(seen.values()) >= 8 // every, seen


def test_an_attribute_or_child_that_comes_or_goes(session: Path) -> None:
    with h5py.File(session, "r+") as file:
        before = identities(file, session.parent)
        file[EPHYS].attrs["gain"] = 2.0
        assert identify_object(file, EPHYS, folder=session.parent) != before[EPHYS]
        del file[EPHYS].attrs["gain"]
        file[EPHYS]["gain"] = 2.0
        assert identify_object(file, EPHYS, folder=session.parent) != before[EPHYS]
        del file[EPHYS]["gain"]
        assert identities(file, session.parent) == before


@pytest.mark.parametrize("row", range(6))
def test_only_the_rows_that_a_region_refers_to_count(session: Path, row: int) -> None:
    with h5py.File(session, "r+") as file:
        before = identify_object(file, EPHYS, folder=session.parent)
        column = file[f"{TABLE}/location"]
        value = column[row]
        column[row] = "elsewhere"
        assert (identify_object(file, EPHYS, folder=session.parent) != before) == (row in (0, 2, 5))
        column[row] = value


@pytest.mark.parametrize("row", range(4))
def test_rows_of_ragged_masks(session: Path, row: int) -> None:
    with h5py.File(session, "r+") as file:
        before = identify_object(file, PIXEL_TRACES, folder=session.parent)
        column = file[f"{PIXELS}/pixel_mask"]
        last = int(file[f"{PIXELS}/pixel_mask_index"][row]) - 1
        value = column[last]
        other = value.copy()
        other["weight"] += 0.5
        column[last] = other
        assert (identify_object(file, PIXEL_TRACES, folder=session.parent) != before) == (row in (0, 1, 3))
        column[last] = value


def test_a_sample_of_linked_timestamps_and_a_byte_of_a_video(session: Path) -> None:
    video = session.parent / "media/body.avi"
    with h5py.File(session, "r+") as file:
        before = identities(file, session.parent)
        stamps = file[f"{SPEED}/timestamps"]
        stamps[25] += 1e-9
        now = identities(file, session.parent)
        assert {name for name in TARGETS if now[name] != before[name]} == {SPEED, CURRENT, VIDEO}
        stamps[25] = 2.5
        assert identities(file, session.parent) == before

        content = video.read_bytes()
        video.write_bytes(content[:2500] + bytes([content[2500] ^ 1]) + content[2501:])
        now = identities(file, session.parent)
        assert {name for name in TARGETS if now[name] != before[name]} == {VIDEO}
        video.unlink()
        with pytest.raises(InputError, match=r"body\.avi"):
            identify_object(file, VIDEO, folder=session.parent)
        video.write_bytes(content)
        assert identities(file, session.parent) == before
