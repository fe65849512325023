"""Archives by name and URL, and the user's key for them."""

from __future__ import annotations

from typing import Any

import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError

from nwbpipe.errors import RequestError
from nwbpipe.publish._instances import find_instance, find_key, missing_key_error

SANDBOX = "https://api.sandbox.dandiarchive.org/api"


class KeyStore(KeyringBackend):
    """A store with a key for the sandbox, and one that is broken for EMBER."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        if "ember" in service:
            raise KeyringError
        return "stored" if (service, username) == ("dandi-api-dandi-sandbox", "key") else None

    def set_password(self, *_: Any) -> None:
        raise AssertionError("nothing is stored")


@pytest.mark.parametrize(
    ("name", "found", "variable"),
    [
        ("dandi", "dandi", "DANDI_API_KEY"),
        ("sandbox", "dandi-sandbox", "DANDI_SANDBOX_API_KEY"),
        (SANDBOX, "dandi-sandbox", "DANDI_SANDBOX_API_KEY"),
        ("https://sandbox.dandiarchive.org/", "dandi-sandbox", "DANDI_SANDBOX_API_KEY"),
        ("ember", "ember-dandi", "EMBER_DANDI_API_KEY"),
        ("http://localhost:18000/api", "localhost:18000", "LOCALHOST_18000_API_KEY"),
    ],
)
def test_an_archive_has_a_name_and_a_variable(name: str, found: str, variable: str) -> None:
    instance = find_instance(name)
    assert instance.name == found
    assert instance.key_variables[-1] == variable
    assert variable in str(missing_key_error(instance))


def test_the_key_is_the_environments_else_that_of_dandis_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", f"{__name__}.KeyStore")
    monkeypatch.setenv("DANDI_API_KEY", "of-production")
    for variable in ("DANDI_SANDBOX_API_KEY", "EMBER_DANDI_API_KEY", "LINC_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    assert find_key(find_instance("sandbox")) == "stored"
    assert find_key(find_instance("ember")) is None
    assert find_key(find_instance("linc")) is None
    monkeypatch.setenv("DANDI_SANDBOX_API_KEY", " of-sandbox\n")
    assert find_key(find_instance("sandbox")) == "of-sandbox"


@pytest.mark.parametrize(
    "url", ["https://h/api?x=1", "https://a@h/api", "https://", "ftp://h/api", "http://10.0.0.1/api"]
)
def test_a_url_that_would_disclose_the_key_is_refused(url: str) -> None:
    with pytest.raises(RequestError):
        find_instance(url)
