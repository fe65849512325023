"""The arguments of interfaces, read from the text of their modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nwbpipe.converters._interface_names import neuroconv_modules, our_modules
from nwbpipe.converters.interfaces import interface_class
from nwbpipe.converters.spec import _signatures
from nwbpipe.converters.spec._arguments import _as_path, option_parameters, source_parameters
from nwbpipe.converters.spec._model import _writes_videos
from nwbpipe.converters.spec._signatures import read_parameters
from nwbpipe.converters.spec._values import describe_annotation
from nwbpipe.errors import ToolMissingError


@pytest.mark.parametrize(("section", "known"), [("args", 0.95), ("options", 0.8)])
def test_what_a_text_says_is_what_the_class_says(section: str, known: float) -> None:
    names = sorted({*our_modules(), *neuroconv_modules()})
    compared = 0
    for name in names:
        declared = read_parameters(name, section)
        if declared is None:
            continue
        try:
            interface = interface_class(name)
        except ToolMissingError:
            continue
        parameters, open_ended = source_parameters(interface) if section == "args" else option_parameters(interface)
        assert section == "args" or not _writes_videos(interface)
        assert not open_ended, name
        required = {key: item.required for key, item in parameters.items()}
        assert {key: item.required for key, item in declared.items()} == required, name
        for key, item in declared.items():
            if item.annotation is not object:
                types = _as_path(key, item.annotation), _as_path(key, parameters[key].annotation)
                # `typing` may give the values of a Literal in another order, from its own cache.
                words = [sorted(describe_annotation(kind).replace(",", "").split()) for kind in types]
                assert words[0] == words[1], (name, key)
        compared += 1
    assert compared > known * len(names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "def __init__(self, a, b: int = 0, *, c: str): ...",
            {"a": (Any, True), "b": (int, False), "c": (str, True)},
        ),
        ("@validate_call\n    def __init__(self, a: Path | None): ...", {"a": (Path | None, True)}),
        ("def __init__(self, file_path: Alias, verbose: bool = False): ...", {"file_path": (object, True)}),
        ("def __init__(self, a: int, **more): ...", None),
        ("@other\n    def __init__(self, a: int): ...", None),
        ("def read(self): ...", None),
        ("def __init__(self, a: int): ...\n\nMade.__init__ = other", None),
        ("def __init__(self, a", None),
        ("def __init__(self, a: int): ...\n    __init__ = other", None),
        ("def __init__(self, a: Literal[Alias.x] = 0): ...", {"a": (object, False)}),
    ],
)
def test_a_text_that_does_not_settle_the_arguments_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: dict[str, tuple[Any, bool]] | None
) -> None:
    (tmp_path / "made_up").mkdir()
    start = "from pathlib import Path\nfrom numpy import Alias\nfrom typing import Literal\nclass Made(Base):\n    "
    (tmp_path / "made_up" / "readers.py").write_text(f"{start}{text}\n")
    (tmp_path / "made_up" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_signatures, "our_modules", lambda: {"Made": "made_up.readers"})
    for function in (read_parameters, _signatures._read_module):
        function.cache_clear()
    declared = read_parameters("Made", "args")
    for function in (read_parameters, _signatures._read_module):
        function.cache_clear()
    assert (declared and {key: (item.annotation, item.required) for key, item in declared.items()}) == expected
