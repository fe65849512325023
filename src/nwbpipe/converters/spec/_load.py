"""Loading session.yaml: every mistake of the file in one error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from nwbpipe.converters.spec._arguments import option_parameters, source_parameters, type_arguments
from nwbpipe.converters.spec._load_clocks import read_clocks
from nwbpipe.converters.spec._load_devices import read_devices
from nwbpipe.converters.spec._model import NAME, SessionInfo, SessionSpec, SourceKeys, SourceSpec, SubjectSpec
from nwbpipe.converters.spec._paths import SpecPaths, spec_paths_of
from nwbpipe.converters.spec._spec_checker import SpecChecker
from nwbpipe.converters.spec._values import describe_value, infer_type
from nwbpipe.converters.spec._yaml import YamlMapping, read_document
from nwbpipe.errors import NwbpipeError, Problem, SpecError
from nwbpipe.stores import Stores

_TOP = ("nwbpipe", "extends", "subject", "session", "reference_clock", "sources", "clocks", "devices", "metadata")


def load_spec(
    path: Path | str, *, places: SpecPaths | None = None, present: bool = True, stores: Stores | None = None
) -> SessionSpec:
    """Read, type and check a session.yaml; nothing is converted, no raw data is read.

    Parameters
    ----------
    path : path
        The spec.
    places : Places, optional
        What its paths are relative to, where that is not told by where it lies.
    present : bool
        Whether the raw files have to be there; they may have been moved to cold storage after the conversion.
    stores : Stores, optional
        The project's; those of the nearest ``nwbpipe.toml`` above the spec by default.

    Returns
    -------
    SessionSpec
        With defaults filled in, arguments typed as the interfaces declare them, and absolute paths.

    Raises
    ------
    SpecError
        If anything is wrong with it; `problems` names every mistake, each with its file, line and key.
    """
    file = Path(path)
    problems: list[Problem] = []
    places = replace(places or spec_paths_of(file, problems, stores), present=present)
    document = read_document(places.folder / file.name, places.root)
    problems.extend(document.problems)
    checked = _SectionChecker(document.tree, places, problems).check()
    if problems or checked is None:
        count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise SpecError(f"the session spec has {count}", where=str(file), problems=problems)
    spec = SessionSpec.model_construct(path=places.folder / file.name, **checked)
    spec._paths = places
    spec._files = tuple(document.files)
    return spec


@cache
def _text_fields() -> frozenset[str]:
    """Names of the fields that are text in NWB wherever they occur: `serial_number: 0042` is no number."""
    import pynwb.ecephys
    import pynwb.ophys
    from hdmf.utils import get_docval

    kinds: dict[str, bool] = {}
    modules = (pynwb, pynwb.base, pynwb.device, pynwb.ecephys, pynwb.file, pynwb.image, pynwb.ophys)
    for owner in {item for module in modules for item in vars(module).values() if isinstance(item, type)}:
        construct = vars(owner).get("__init__")
        for field in get_docval(construct) if hasattr(construct, "__docval__") else ():
            kinds[field["name"]] = kinds.get(field["name"], True) and field["type"] is str
    return frozenset({"description", *(name for name, text in kinds.items() if text)})


class _SectionChecker(SpecChecker):
    """Checks the sections of a spec one by one, so that a mistake in one hides none in another."""

    def check(self) -> dict[str, Any] | None:
        before = len(self.problems)
        self.check_keys(self.tree, _TOP, "")
        self._check_version()
        metadata = infer_type(self.read_section("metadata", required=False), _text_fields())
        sections: dict[str, Any] = {
            "nwbpipe": 1,
            "subject": self._check_subject(metadata),
            "session": self._check_session(metadata),
            "sources": self._check_sources(),
            "metadata": metadata,
        }
        sections["devices"] = read_devices(self, sections["subject"])
        sections["clocks"], sections["reference_clock"] = read_clocks(self)
        return sections if len(self.problems) == before else None

    def _check_version(self) -> None:
        version = self.tree.get("nwbpipe")
        if version != "1":
            self.add_problem(
                "the version of the format is not supported" if version else "the version of the format is missing",
                self.tree,
                "nwbpipe",
                "nwbpipe",
                expected="nwbpipe: 1",
                found=describe_value(version),
                hint="write `nwbpipe: 1` as the first line",
            )

    def _check_subject(self, metadata: Mapping[str, Any]) -> Any:
        tree = self._add_defaults("subject", metadata.get("Subject"))
        subject = self.validate_model(SubjectSpec, tree, "subject")
        if not tree.get("age") and not tree.get("date_of_birth"):
            self.add_problem(
                "subject.age is missing",
                tree,
                "age",
                "subject.age",
                expected="age or date_of_birth, as DANDI asks for one of them",
                hint="add `age: P90D` (an ISO 8601 duration)",
            )
        return subject

    def _check_session(self, metadata: Mapping[str, Any]) -> Any:
        return self.validate_model(SessionInfo, self._add_defaults("session", None), "session")

    def _add_defaults(self, key: str, more: Any) -> YamlMapping:
        """Give a section, completed by what `metadata` says of the same things."""
        section = self.read_section(key, required=not more)
        whole = YamlMapping(section.mark)
        whole.marks = section.marks
        if isinstance(more, Mapping):
            whole.update({name: value for name, value in more.items() if isinstance(value, str)})
        whole.update({name: value for name, value in section.items() if value is not None})
        return whole

    def _check_sources(self) -> dict[str, SourceSpec]:
        section = self.read_section("sources")
        if not section and isinstance(self.tree.get("sources"), YamlMapping):
            self.add_problem("there are no sources", self.tree, "sources", "sources", expected="at least one")
        sources = {}
        for name, tree in section.items():
            path = f"sources.{name}"
            if not NAME.fullmatch(name):
                self.add_problem(
                    f"{name!r} can't be the name of a source",
                    section,
                    name,
                    path,
                    expected="a letter, then letters, digits and _",
                )
            if not isinstance(tree, YamlMapping):
                self.add_problem("the source is no mapping", section, name, path, found=describe_value(tree))
                continue
            source = self._check_source(name, tree, path)
            if source is not None:
                sources[name] = source
        return sources

    def _check_source(self, name: str, tree: YamlMapping, path: str) -> SourceSpec | None:
        for key in ("args", "options"):
            if tree.get(key) is None:
                tree[key] = YamlMapping(tree.marks.get(key) or tree.mark)
        source = self.validate_model(SourceKeys, tree, path)
        interface = self._find_interface(tree, path)
        args, options = tree["args"], tree["options"]
        if interface is None or not isinstance(args, YamlMapping) or not isinstance(options, YamlMapping):
            return None
        video = self._take_video(interface, options, path)
        typed = type_arguments(args, *source_parameters(interface), self.paths, f"{path}.args", self.problems)
        given = YamlMapping(options.mark)
        given.marks = options.marks
        given.update({key: value for key, value in options.items() if video is None or key != "video"})
        chosen = type_arguments(given, *option_parameters(interface), self.paths, f"{path}.options", self.problems)
        if source is None:
            return None
        return SourceSpec(interface=source.interface, clock=source.clock, args=typed, options=chosen, video=video)

    def _take_video(self, interface: type[Any], options: YamlMapping, path: str) -> Any:
        """Take the option `video`, which is ours, for interfaces that write external videos."""
        if not any(owner.__name__ == "ExternalVideoInterface" for owner in interface.__mro__):
            return None
        value = options.get("video", "link")
        if value in ("link", "copy", "embed"):
            return str(value)
        self.add_problem(
            "the value is not one of those allowed",
            options,
            "video",
            f"{path}.options.video",
            expected="link, copy or embed",
            found=describe_value(value),
        )
        return "link"

    def _find_interface(self, tree: YamlMapping, path: str) -> type[Any] | None:
        from nwbpipe.converters.interfaces import interface_class

        name = tree.get("interface")
        if not isinstance(name, str) or not name:
            return None
        try:
            return interface_class(str(name))
        except NwbpipeError as error:
            problem = error.problem
            where = self.locate(tree, "interface", f"{path}.interface")
            self.problems.append(Problem(problem.what, where, problem.expected, problem.found, problem.hint))
            return None
