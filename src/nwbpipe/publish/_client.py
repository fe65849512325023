"""Talk to a DANDI archive: its REST API with the user's key, and its S3 with signed URLs, which no message shows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from nwbpipe import __version__
from nwbpipe.errors import ArchiveError, RequestError, show_text
from nwbpipe.publish._digests import StopRequest
from nwbpipe.publish._instances import Instance, missing_key_error
from nwbpipe.stores.s3 import public_url

#: Seconds between the tries of a call that the archive did not answer.
WAITS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_RETRIED = frozenset({429, 500, 502, 503, 504})
_LONGEST_WAIT = 60.0
_TIMEOUT = (15.0, 120.0)  # seconds to connect, and between two bytes
_MOST_PAGES = 100_000


class _QuietLog(logging.Filter):
    """Drops urllib3's log of requests: it holds signed URLs."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG


_QUIET_LOG = _QuietLog()


class ArchiveClient:
    """A connection to an archive, for several threads.

    Parameters
    ----------
    instance : Instance
        The archive.
    key : str, optional
        The user's key; without it, only what is public can be read.
    stopped : callable
        True ends the calls that wait for another try.
    """

    def __init__(self, instance: Instance, key: str | None, *, stopped: Callable[[], bool] = lambda: False) -> None:
        self.instance = instance
        self.asked_to_stop = stopped
        self._aborted = threading.Event()
        self._key = key
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"nwbpipe/{__version__}"
        adapter = HTTPAdapter(pool_maxsize=32)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        # No credentials of ~/.netrc: they would replace the key.
        self._session.auth = lambda request: request
        logging.getLogger("urllib3.connectionpool").addFilter(_QUIET_LOG)
        self._lock = threading.Lock()
        self._info: dict[str, Any] | None = None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __repr__(self) -> str:
        return f"ArchiveClient({self.instance.name!r})"

    @property
    def has_key(self) -> bool:
        """True if the user's key is known."""
        return self._key is not None

    def stopped(self) -> bool:
        """Return True if the user asked for a stop, or a thread ended all calls."""
        return self._aborted.is_set() or self.asked_to_stop()

    def abort(self) -> None:
        """End the calls of all threads."""
        self._aborted.set()

    # The REST API ---------------------------------------------------------------------------------------

    def read_info(self) -> dict[str, Any]:
        """Return what the archive says of itself; asked once."""
        with self._lock:
            if self._info is None:
                self._info = self.get("/info/")
            return self._info

    def require_key(self) -> None:
        """Check that the archive knows the user's key.

        Raises
        ------
        RequestError
            If there is none, or the archive refuses it.
        """
        if self._key is None:
            raise missing_key_error(self.instance)
        try:
            self.call("GET", "/auth/token/")
        except ArchiveError as error:
            if error.status not in (401, 403):
                raise
            message = "the archive does not know the key"
            hint = f"copy the key again into {self.instance.key_variables[-1]}"
            if error.status == 403:
                message = "the archive has not approved you"
                hint = "log in at the archive's page once; a person approves new users"
            raise RequestError(message, where=self.instance.api, found=error.problem.found, hint=hint) from None

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON mapping at a path."""
        return check_mapping(self.call("GET", path, parameters=parameters), path)

    def iter_pages(self, path: str, parameters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list of several pages."""
        page, visited = self.get(path, parameters), set[str]()
        while True:
            for entry in read_field(page, "results", list):
                yield check_mapping(entry, path)
            following = page.get("next")
            if following is None:
                return
            if not isinstance(following, str) or following in visited or len(visited) > _MOST_PAGES:
                raise make_answer_error(path, following)
            visited.add(following)
            page = check_mapping(self.call("GET", self._check_own(following)), path)

    def _check_own(self, url: str) -> str:
        """Return the URL of a further page, if it is of this archive: the key goes nowhere else."""
        base, target = urlsplit(self.instance.api), urlsplit(urljoin(self.instance.api, url))
        if base.hostname != target.hostname:
            raise make_answer_error(self.instance.api, url)
        # Behind a proxy, an archive may not know its own scheme and port.
        return target._replace(scheme=base.scheme, netloc=base.netloc).geturl()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        parameters: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> Any:
        """Call the API, and return the JSON value of its answer.

        With `once`, there is no second try.

        Raises
        ------
        ArchiveError
            If the archive refuses, or does not answer; `status` is the code of its answer.
        StopRequest
            If the user asked for a stop.
        """
        response = self.send(method, path, body=body, parameters=parameters, once=once)
        if not response.ok:
            raise refusal_error(method, response)
        return read_answer(response, path)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        parameters: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> requests.Response:
        """Call the API, and return its answer, whatever it is."""
        url = path if "://" in path else f"{self.instance.api}{path}"
        headers = {"Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"token {self._key}"

        def ask() -> requests.Response:
            return self._session.request(
                method,
                url,
                json=body,
                params=parameters,
                headers=headers,
                timeout=_TIMEOUT,
                allow_redirects=method == "GET",
            )

        return self.retry(ask, url, () if once else WAITS)

    # S3 -------------------------------------------------------------------------------------------------

    def put_part(self, url: str, open_body: Callable[[], Any]) -> str:
        """Send a part to a signed URL; return the ETag of what arrived.

        Parameters
        ----------
        url : str
        open_body : callable
            Returns the part, from its beginning, as a file with a length.
        """
        response = self.retry(
            lambda: self._session.put(url, data=open_body(), timeout=_TIMEOUT, allow_redirects=False), url
        )
        if not response.ok:
            raise refusal_error("PUT", response)
        return str(response.headers.get("ETag", "")).strip('"')

    def post_completion(self, url: str, body: str) -> requests.Response:
        """Send the list of parts to the signed URL that joins them."""
        data = body.encode()
        return self.retry(lambda: self._session.post(url, data=data, timeout=_TIMEOUT, allow_redirects=False), url)

    def open_download(self, asset_id: str, start: int = 0) -> requests.Response:
        """Open the content of an asset from a byte on; the caller closes it."""
        url = f"{self.instance.api}/assets/{asset_id}/download/"
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        if self._key is not None:
            headers["Authorization"] = f"token {self._key}"  # requests keeps it from other hosts

        def ask() -> requests.Response:
            return self._session.get(url, headers=headers, timeout=_TIMEOUT, stream=True)

        response = self.retry(ask, url)
        if not response.ok:
            with response:
                raise refusal_error("GET", response)
        return response

    # Several tries --------------------------------------------------------------------------------------

    def retry(
        self, ask: Callable[[], requests.Response], url: str, waits: Sequence[float] | None = None
    ) -> requests.Response:
        """Ask until there is an answer, with waits between the tries.

        Raises
        ------
        ArchiveError
            If there is none after all tries, or none that another try could change.
        StopRequest
            If the user asked for a stop.
        """
        for wait in (*(WAITS if waits is None else waits), None):
            if self.stopped():
                raise StopRequest
            try:
                response = ask()
            except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
                raise self._silence_error(url, _explain(error)) from None
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                reason, asked = _explain(error), 0.0
            except requests.RequestException as error:
                raise self._silence_error(url, _explain(error)) from None
            else:
                if response.status_code not in _RETRIED:
                    return response
                reason, asked = f"status {response.status_code}", _read_wait(response)
                response.close()
            if wait is None:
                raise self._silence_error(url, reason)
            self._wait(max(wait, asked))
        raise AssertionError

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (remaining := end - time.monotonic()) > 0:
            if self.stopped():
                raise StopRequest
            time.sleep(min(remaining, 0.2))

    def _silence_error(self, url: str, reason: str) -> ArchiveError:
        hint = "try again later: what is up is not sent again"
        error = ArchiveError("the archive does not answer", where=public_url(url), found=reason, hint=hint)
        error.is_silent = True
        return error


def read_answer(response: requests.Response, where: str) -> Any:
    """Return the JSON value of an answer; None if it is empty.

    Raises
    ------
    ArchiveError
        If it is not JSON.
    """
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        raise make_answer_error(where, response.text[:80]) from None


def read_field(values: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """Return a field of an answer.

    Raises
    ------
    ArchiveError
        If it is missing, or of another type.
    """
    value = values.get(name)
    if not isinstance(value, kind):
        raise make_answer_error(name, value)
    return value


def check_mapping(value: Any, where: str) -> dict[str, Any]:
    """Return a JSON value that has to be a mapping.

    Raises
    ------
    ArchiveError
        If it is another value.
    """
    if not isinstance(value, dict):
        raise make_answer_error(where, value)
    return cast("dict[str, Any]", value)


def make_answer_error(where: str, value: object) -> ArchiveError:
    """Return the error for an answer that is not of DANDI's API."""
    return ArchiveError(
        "the archive answers something that nwbpipe does not understand",
        where=where,
        found=show_text(value)[:100],
        hint="check the archive's URL, which ends in /api; or update nwbpipe",
    )


def refusal_error(method: str, response: requests.Response) -> ArchiveError:
    """Return the error for a call that the archive refused, with what it says."""
    url = public_url(response.url)
    error = ArchiveError(
        f"the archive refused: status {response.status_code}",
        where=f"{method} {url}",
        found=_read_message(response),
        hint=_HINTS.get(response.status_code),
    )
    error.status = response.status_code
    return error


_HINTS = {
    401: "the key is missing, or wrong",
    403: "only owners of a dandiset may change it: ask one to add you",
    404: "check the number of the dandiset, and the archive",
}


def _read_message(response: requests.Response) -> str:
    try:
        text = response.text
        values = response.json()
        if isinstance(values, dict) and isinstance(values.get("detail"), str):
            text = values["detail"]
    except (ValueError, requests.RequestException):
        text = response.reason or ""
    return show_text(text.strip())[:300]


def _explain(error: Exception) -> str:
    """Name what happened; the error's own text may hold a signed URL."""
    text = str(error)
    reasons = {
        "Name or service not known": "the host's name is not known",
        "Temporary failure in name resolution": "the host's name can't be looked up",
        "Connection refused": "connection refused",
        "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not valid",
    }
    return next((reason for sign, reason in reasons.items() if sign in text), type(error).__name__)


def _read_wait(response: requests.Response) -> float:
    """Return the seconds that the archive asks a caller to wait."""
    try:
        return min(max(float(response.headers.get("Retry-After", "0")), 0.0), _LONGEST_WAIT)
    except ValueError:
        return 0.0
