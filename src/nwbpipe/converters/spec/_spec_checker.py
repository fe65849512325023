"""The tree of a spec while it is checked: its sections, and every mistake that is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from nwbpipe.converters.spec._paths import Places
from nwbpipe.converters.spec._values import did_you_mean, found
from nwbpipe.converters.spec._yaml import Tree
from nwbpipe.errors import Problem


@dataclass(frozen=True)
class Checked:
    """A spec that is being checked; its parts are read by `_load`, `_load_clocks` and `_load_devices`.

    Attributes
    ----------
    tree : Tree
        The whole spec.
    places : Places
        What its paths are relative to.
    problems : list of Problem
        What was found so far; every part appends to it.
    """

    tree: Tree
    places: Places
    problems: list[Problem]

    def place(self, tree: Any, key: str, path: str) -> str:
        """Say where a key is: its file and line, and its path."""
        mark = getattr(tree, "marks", {}).get(key) or getattr(tree, "mark", None)
        return f"{mark}: {path}" if mark else path

    def problem(self, what: str, tree: Any, key: str, path: str, **more: str | None) -> None:
        """Keep a mistake; `more` are fields of `Problem`."""
        self.problems.append(Problem(what, where=self.place(tree, key, path), **more))

    def unknown_keys(self, tree: Tree, known: tuple[str, ...], path: str) -> None:
        """Keep a mistake for each key that is not known."""
        for key in tree:
            if key not in known:
                self.problem(
                    f"the key {key!r} is unknown",
                    tree,
                    key,
                    f"{path}{key}",
                    expected="one of " + ", ".join(known),
                    hint=did_you_mean(key, known) or "remove it",
                )

    def section(self, key: str, required: bool = True) -> Tree:
        """Return a section; an empty one, and a mistake, where there is none."""
        value = self.tree.get(key)
        if isinstance(value, Tree):
            return value
        if value is not None or required:
            what = f"the section {key!r} is missing" if key not in self.tree else f"the section {key!r} is no mapping"
            self.problem(what, self.tree, key, key, expected="`key: value` lines", found=found(value))
        return Tree(self.tree.marks.get(key) or self.tree.mark)

    def model(self, model: type[BaseModel], tree: Tree, path: str) -> Any:
        """Validate a mapping; None where it has mistakes."""
        try:
            return model.model_validate(dict(tree))
        except ValidationError as error:
            for item in error.errors():
                self._pydantic_problem(item, model, tree, path)
            return None

    def _pydantic_problem(self, item: Any, model: type[BaseModel], tree: Tree, path: str) -> None:
        key = str(item["loc"][0]) if item["loc"] else ""
        full = ".".join([path, *(str(part) for part in item["loc"])])
        fields = tuple(model.model_fields)
        if item["type"] == "extra_forbidden" and len(item["loc"]) > 1:  # within an item of a list
            self.problem(f"the key {full!r} is unknown", tree, key, full, found=found(item.get("input")))
        elif item["type"] == "extra_forbidden":
            self._unknown_keys_one(tree, key, fields, path)
        elif item["type"] == "missing":
            self.problem(f"{full} is missing", tree, key, full, hint=f"add `{key}: ...` to {path}")
        else:
            message = str(item["msg"]).removeprefix("Value error, ").removeprefix("expected ")
            message = message.removeprefix("Input should be ").replace("a valid dictionary", "`key: value` lines")
            self.problem(f"{full} is not valid", tree, key, full, expected=message, found=found(item.get("input")))

    def _unknown_keys_one(self, tree: Tree, key: str, known: tuple[str, ...], path: str) -> None:
        one = Tree(tree.mark)
        one.marks = tree.marks
        one[key] = None
        self.unknown_keys(one, known, f"{path}.")
