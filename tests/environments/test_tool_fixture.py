"""Where tools are promised, a missing one fails a test; elsewhere it skips with the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nwbpipe import environments
from nwbpipe.environments import Tool, ToolEnvironment
from nwbpipe.errors import ToolMissingError


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(tool: Tool) -> ToolEnvironment:
        raise ToolMissingError(f"the tool {tool.name!r} is not installed", hint="install it")

    monkeypatch.setattr(environments, "find", find)
    for name in ("CI", "NWBPIPE_REQUIRE_TOOLS"):
        monkeypatch.delenv(name, raising=False)


def test_skips_with_the_reason(tool: Callable[[str], ToolEnvironment]) -> None:
    with pytest.raises(pytest.skip.Exception, match="'suite2p' is not installed"):
        tool("suite2p")


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("NWBPIPE_REQUIRE_TOOLS", "1")])
def test_fails_where_tools_are_promised(
    tool: Callable[[str], ToolEnvironment], name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(pytest.fail.Exception, match="'suite2p' is not installed"):
        tool("suite2p")


def test_a_tool_that_no_target_installs_is_skipped_there_too(
    tool: Callable[[str], ToolEnvironment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.skip.Exception, match="'deeplabcut' is not installed"):
        tool("deeplabcut")
