"""The tree of a spec while it is checked: its sections, and every mistake that is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from nwbpipe.converters.spec._paths import SpecPaths
from nwbpipe.converters.spec._values import describe_value, suggest_names
from nwbpipe.converters.spec._yaml import YamlMapping
from nwbpipe.errors import Problem


@dataclass(frozen=True)
class SpecChecker:
    """A spec that is being checked; its parts are read by `_load`, `_load_clocks` and `_load_devices`.

    Attributes
    ----------
    tree : Tree
        The whole spec.
    paths : Places
        What its paths are relative to.
    problems : list of Problem
        What was found so far; every part appends to it.
    """

    tree: YamlMapping
    paths: SpecPaths
    problems: list[Problem]

    def locate(self, tree: Any, key: str, path: str) -> str:
        """Say where a key is: its file and line, and its path."""
        mark = getattr(tree, "marks", {}).get(key) or getattr(tree, "mark", None)
        return f"{mark}: {path}" if mark else path

    def add_problem(self, what: str, tree: Any, key: str, path: str, **more: str | None) -> None:
        """Keep a mistake; `more` are fields of `Problem`."""
        self.problems.append(Problem(what, where=self.locate(tree, key, path), **more))

    def check_keys(self, tree: YamlMapping, known: tuple[str, ...], path: str) -> None:
        """Keep a mistake for each key that is not known."""
        for key in tree:
            if key not in known:
                self.add_problem(
                    f"the key {key!r} is unknown",
                    tree,
                    key,
                    f"{path}{key}",
                    expected="one of " + ", ".join(known),
                    hint=suggest_names(key, known) or "remove it",
                )

    def read_section(self, key: str, required: bool = True) -> YamlMapping:
        """Return a section; an empty one, and a mistake, where there is none."""
        value = self.tree.get(key)
        if isinstance(value, YamlMapping):
            return value
        if value is not None or required:
            what = f"the section {key!r} is missing" if key not in self.tree else f"the section {key!r} is no mapping"
            self.add_problem(what, self.tree, key, key, expected="`key: value` lines", found=describe_value(value))
        return YamlMapping(self.tree.marks.get(key) or self.tree.mark)

    def validate_model(self, model: type[BaseModel], tree: YamlMapping, path: str) -> Any:
        """Validate a mapping; None where it has mistakes."""
        try:
            return model.model_validate(dict(tree))
        except ValidationError as error:
            for item in error.errors():
                self._add_pydantic_problem(item, model, tree, path)
            return None

    def _add_pydantic_problem(self, item: Any, model: type[BaseModel], tree: YamlMapping, path: str) -> None:
        key = str(item["loc"][0]) if item["loc"] else ""
        full = ".".join([path, *(str(part) for part in item["loc"])])
        fields = tuple(model.model_fields)
        if item["type"] == "extra_forbidden" and len(item["loc"]) > 1:  # within an item of a list
            self.add_problem(f"the key {full!r} is unknown", tree, key, full, found=describe_value(item.get("input")))
        elif item["type"] == "extra_forbidden":
            self._add_unknown_key(tree, key, fields, path)
        elif item["type"] == "missing":
            self.add_problem(f"{full} is missing", tree, key, full, hint=f"add `{key}: ...` to {path}")
        else:
            message = str(item["msg"]).removeprefix("Value error, ").removeprefix("expected ")
            message = message.removeprefix("Input should be ").replace("a valid dictionary", "`key: value` lines")
            self.add_problem(
                f"{full} is not valid", tree, key, full, expected=message, found=describe_value(item.get("input"))
            )

    def _add_unknown_key(self, tree: YamlMapping, key: str, known: tuple[str, ...], path: str) -> None:
        one = YamlMapping(tree.mark)
        one.marks = tree.marks
        one[key] = None
        self.check_keys(one, known, f"{path}.")
