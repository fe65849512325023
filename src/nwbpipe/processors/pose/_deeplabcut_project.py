"""Read the labelled frames of a DeepLabCut project, without DeepLabCut and without pickled HDF5 files."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from nwbpipe.errors import InputError
from nwbpipe.provenance import IdentityCache, canonical_json, digest

Point = tuple[float | None, float | None]
_MOST_BYTES = 2**26  # of a table of labels; config.yaml has kilobytes


@dataclass(frozen=True)
class LabelledFrame:
    """A labelled frame.

    Attributes
    ----------
    name : str
        ``VIDEO/IMAGE``, as below ``labeled-data``.
    points : tuple of (float or None, float or None)
        x and y of each keypoint in pixels of the image; None where it has no label. Of several animals: those of the
        first, then those of the next.
    image : str
        SHA-256 of the image's bytes.
    """

    name: str
    points: tuple[Point, ...]
    image: str

    @property
    def labels(self) -> str:
        """Digest of the labels."""
        return digest(canonical_json([list(point) for point in self.points]))


@dataclass(frozen=True)
class LabelledProject:
    """What a network is trained on: the labelled frames of a project.

    Attributes
    ----------
    bodyparts : tuple of str
        Keypoints of an animal.
    skeleton : tuple of (str, str)
        Pairs of keypoints, for drawing.
    frames : tuple of LabelledFrame
        Those with a label or more, sorted by name.
    project_path : str
        As config.yaml says: the folder in which the project was made. It is not used.
    scorer : str
        Who labelled them.
    individuals : tuple of str
        Names of the animals, where there are several.
    """

    bodyparts: tuple[str, ...]
    skeleton: tuple[tuple[str, str], ...]
    frames: tuple[LabelledFrame, ...]
    project_path: str
    scorer: str = ""
    individuals: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Digest of all that a network learns from: names, images and labels, wherever the project lies."""
        frames = [[frame.name, frame.image, frame.labels] for frame in self.frames]
        parts: list[Any] = [list(self.bodyparts), [list(pair) for pair in self.skeleton], frames]
        return digest(canonical_json(parts + ([list(self.individuals)] if self.individuals else [])))


def read_labelled_project(folder: Path) -> LabelledProject:
    """Read a project's config.yaml and its tables of labels, and hash its labelled images.

    Videos are not needed, and paths in config.yaml are not followed: a project may have been moved.

    Raises
    ------
    InputError
        If the folder is not a project, has no labels, or lacks a labelled image.
    """
    config = _read_config(folder)
    individuals = _read_individuals(config, folder / "config.yaml")
    listed = config.get("multianimalbodyparts" if individuals else "bodyparts") or ()
    bodyparts = tuple(str(part) for part in listed)
    if not bodyparts or len(set(bodyparts)) != len(bodyparts):
        msg = "the project has no keypoints" if not bodyparts else "a keypoint of the project is named twice"
        raise InputError(msg, where=str(folder / "config.yaml"), expected="bodyparts", found=", ".join(bodyparts))
    scorer = str(config.get("scorer", ""))
    tables = sorted((folder / "labeled-data").glob(f"*/CollectedData_{scorer}.csv"))
    frames = [frame for table in tables for frame in _read_labels(table, bodyparts, individuals)]
    frames = sorted((item for item in frames if set(item.points) != {(None, None)}), key=_get_name)
    if not frames:
        names = sorted(path.name for path in (folder / "labeled-data").glob("*/CollectedData_*"))
        msg = "the project has no labelled frames"
        raise InputError(
            msg,
            where=str(folder / "labeled-data"),
            expected=f"VIDEO/CollectedData_{scorer}.csv, with labels of the scorer that config.yaml names",
            found=", ".join(names[:3]) or "no table of labels",
            hint="label frames in DeepLabCut's GUI, which writes the .csv beside the .h5",
        )
    for index, part in enumerate(bodyparts):
        if all(set(frame.points[index :: len(bodyparts)]) == {(None, None)} for frame in frames):
            msg = f"the keypoint {part!r} has no label in any frame"
            hint = "label it, or remove it from bodyparts in config.yaml"
            raise InputError(msg, where=str(folder), expected="labels of every keypoint", hint=hint)
    skeleton = tuple(
        (str(pair[0]), str(pair[1]))
        for pair in config.get("skeleton") or ()
        if len(pair) == 2 and set(map(str, pair)) <= set(bodyparts)
    )
    several = individuals if len(individuals) > 1 else ()  # one of them: as a project of one animal
    path = str(config.get("project_path", ""))
    return LabelledProject(bodyparts, skeleton, tuple(frames), path, scorer, several)


def _read_individuals(config: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Return the animals of a project of several; refuse what can't be learned here."""
    if not config.get("multianimalproject"):
        return ()
    individuals = tuple(str(name) for name in config.get("individuals") or ())
    problems = [
        (not individuals or len(set(individuals)) < len(individuals), "individuals", "a name for each animal"),
        (bool(config.get("uniquebodyparts")), "uniquebodyparts", "none: each animal has the same keypoints"),
        (bool(config.get("identity")), "identity", "false: which animal is which is not learned here"),
    ]
    for wrong, key, expected in problems:
        if wrong:
            msg = f"the project of several animals can't be learned: {key}"
            hint = "train it in DeepLabCut, and convert its predictions" if key != "individuals" else None
            raise InputError(msg, where=str(path), expected=expected, found=str(config.get(key)), hint=hint)
    if len(individuals) > 1 and len(config.get("multianimalbodyparts") or ()) < 2:
        msg = "the project of several animals has too few keypoints: an animal is found by what joins them"
        found = ", ".join(map(str, config.get("multianimalbodyparts") or ())) or "none"
        raise InputError(msg, where=str(path), expected="multianimalbodyparts: two or more", found=found)
    return individuals


def _get_name(frame: LabelledFrame) -> str:
    return frame.name


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    if not path.is_file():
        msg = "the folder is not a project of DeepLabCut"
        hint = "name the folder that has config.yaml and labeled-data"
        raise InputError(msg, where=str(folder), expected="a file config.yaml", found="none", hint=hint)
    try:
        config = yaml.safe_load(_read_text(path))
    except yaml.YAMLError as error:
        msg = "config.yaml can't be read"
        raise InputError(msg, where=str(path), expected="YAML", found=str(error).partition("\n")[0]) from error
    if not isinstance(config, dict):
        raise InputError("config.yaml can't be read", where=str(path), expected="keys and values")
    return config


def _read_text(path: Path) -> str:
    if path.stat().st_size > _MOST_BYTES:
        msg = "the file is too large"
        raise InputError(msg, where=str(path), expected=f"up to {_MOST_BYTES} bytes", found=str(path.stat().st_size))
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError("the file is not text", where=str(path), expected="UTF-8", found=str(error)) from error


def _read_labels(path: Path, bodyparts: Sequence[str], individuals: Sequence[str]) -> list[LabelledFrame]:
    rows = [row for row in csv.reader(_read_text(path).splitlines()) if row]
    try:
        head = {row[0]: row for row in rows[:4]}
        names, coordinates = head["bodyparts"], head["coords"]
        animals = head["individuals"] if individuals else [""] * len(names)
        first = next(index for index, text in enumerate(coordinates) if text in ("x", "y"))
        columns = {
            (animals[index], names[index], coordinates[index]): index for index in range(first, len(coordinates))
        }
    except (StopIteration, IndexError, KeyError) as error:
        msg = "the file is not a table of DeepLabCut's labels"
        levels = "rows scorer, individuals, bodyparts, coords" if individuals else "rows scorer, bodyparts, coords"
        raise InputError(msg, where=str(path), expected=levels) from error
    if not individuals and "individuals" in head:
        msg, hint = "the table has labels of several animals", "correct config.yaml"
        raise InputError(msg, where=str(path), expected="multianimalproject: true", found="false", hint=hint)
    points_of = [(animal, part) for animal in individuals or ("",) for part in bodyparts]
    other = [index for (animal, part, _), index in columns.items() if (animal, part) not in points_of]
    frames, cache, names_read = [], IdentityCache(), set()
    for number, row in enumerate(rows[rows.index(coordinates) + 1 :], start=rows.index(coordinates) + 2):
        name = PurePosixPath("/".join(row[:first]).replace("\\", "/")).name
        image = path.parent / name
        if name in names_read:
            msg, hint = "a labelled frame has two rows", "remove one of them from the table of labels (.csv and .h5)"
            raise InputError(msg, where=f"{path}, row {number}", expected="one row", found=name, hint=hint)
        try:
            points = tuple(
                tuple(
                    _parse_number(row[columns[(*point, axis)]]) if (*point, axis) in columns else None
                    for axis in ("x", "y")
                )
                for point in points_of
            )
            strange = [index for index in other if individuals and _parse_number(row[index]) is not None]
        except (ValueError, IndexError) as error:
            raise InputError("a label is not a number", where=f"{path}, row {number}", found=str(error)) from error
        if strange:
            msg = "a label is of another animal or keypoint than config.yaml names"
            found = f"{animals[strange[0]]}, {names[strange[0]]}"
            raise InputError(
                msg,
                where=f"{path}, row {number}",
                expected=f"{', '.join(individuals)}; {', '.join(bodyparts)}",
                found=found,
            )
        labels = tuple((x, y) if x is not None and y is not None else (None, None) for x, y in points)
        if not image.is_file():
            msg = "a labelled image is missing"
            hint = "put it back, or remove its row from the table of labels (.csv and .h5)"
            raise InputError(msg, where=str(image), expected="an image", found="no file", hint=hint)
        names_read.add(name)
        frames.append(LabelledFrame(f"{path.parent.name}/{name}", labels, cache.identify_file(image).sha256))
    return frames


def _parse_number(text: str) -> float | None:
    value = float(text) if text.strip() else math.nan
    return value if math.isfinite(value) else None
