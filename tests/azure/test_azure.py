"""Session files in Azure: the contract of a store, and each request of a commit refused or without an answer."""

from __future__ import annotations

import hashlib
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import pytest

import nwbpipe
from nwbpipe.errors import ConflictError, FileAccessError
from nwbpipe.stores import Store, _azure, _objects, open_store
from nwbpipe.testing import StoreTests
from tests.fixtures.commits import CommitTests, Lost
from tests.fixtures.programs import find_program, wait_for

pytestmark = [pytest.mark.azure, pytest.mark.timeout(600)]
AZURITE = Path(__file__).resolve().parents[2] / ".make/azurite/node_modules/azurite/dist/src/blob/main.js"
# The account that every Azurite has, published in its documentation.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running Azurite; returns its connection string."""
    pytest.importorskip("azure.storage.blob")
    node = find_program("node")
    if node is None or not AZURITE.exists():
        pytest.skip("no Azurite: see `make test-azure`")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    words = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck"]
    words += ["--disableTelemetry"]
    server = subprocess.Popen(
        [node, str(AZURITE), *words, "--silent"], cwd=tmp_path_factory.mktemp("azurite"), stdout=subprocess.DEVNULL
    )

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(answers, "Azurite to answer")
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        yield f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def container(azurite: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty container, to which Azure's variables lead."""
    import secrets

    from azure.storage.blob import ContainerClient

    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
    client = ContainerClient.from_connection_string(azurite, f"c{secrets.token_hex(8)}")
    client.create_container()
    yield f"az://{client.container_name}"
    client.delete_container()
    client.close()


class TestAzureStore(StoreTests):
    @pytest.fixture
    def store(self, container: str) -> Store:
        return open_store(f"{container}/lab/files")


def test_large_files_of_two_writers_never_mix(
    container: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each is uploaded in blocks beside the other's; one is put together."""
    monkeypatch.setattr(_azure, "_BLOCK", 1000)
    store = open_store(container)
    contents = [bytes([number]) * 20_500 for number in range(8)]
    files = [tmp_path / f"{number}" for number in range(8)]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    tag = store.write_bytes("big", b"old")

    def put(file: Path) -> str:
        try:
            return open_store(container).put_file(file, "big", if_tag=tag)
        except ConflictError:
            return ""

    with ThreadPoolExecutor(8) as pool:
        tags = list(filter(None, pool.map(put, files)))
    assert tags == [store.stat("big").tag]
    assert store.read_bytes("big") in contents


class TestCommits(CommitTests):
    @pytest.fixture
    def root(self, container: str) -> str:
        return container

    @pytest.fixture
    def lost(self, monkeypatch: pytest.MonkeyPatch) -> Lost:
        from azure.core.exceptions import ServiceRequestError, ServiceResponseError
        from azure.core.pipeline.transport import RequestsTransport

        lost, send = Lost(), RequestsTransport.send

        def fail(transport: Any, request: Any, **options: Any) -> Any:
            return lost.send(
                lambda: send(transport, request, **options),
                ServiceRequestError("the server can't be reached"),
                ServiceResponseError("the answer is lost"),
            )

        monkeypatch.setattr(RequestsTransport, "send", fail)
        monkeypatch.setattr(_azure, "_RETRIES", 0)
        monkeypatch.setattr(_azure, "_BLOCK", 100_000)  # a commit of several blocks, old ones and new ones
        return lost


def count_sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of blocks that are sent from now on; the client must keep the order of all."""
    from azure.storage.blob import BlobBlock, BlobClient, BlockState

    sizes: list[int] = []
    stage = BlobClient.stage_block

    def count(self: BlobClient, identity: str, data: bytes, **options: Any) -> Any:
        sizes.append(len(data))
        return stage(self, identity, data, **options)

    commit = BlobClient.commit_block_list

    def check_order(self: BlobClient, blocks: list[BlobBlock], **options: Any) -> Any:
        # It sorts them by state once it compares that right: 12.31 compares "Committed" with "committed".
        assert {block.state for block in blocks} <= {BlockState.LATEST}
        return commit(self, blocks, **options)

    monkeypatch.setattr(BlobClient, "stage_block", count)
    monkeypatch.setattr(BlobClient, "commit_block_list", check_order)
    return sizes


def test_a_commit_sends_the_blocks_that_changed_and_keeps_what_the_blob_has_beside_them(
    container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.storage.blob import ContentSettings

    monkeypatch.setattr(_azure, "_BLOCK", 100_000)
    store = open_store(container)
    numbers = list(range(100_000))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["large"] = numbers
        file["x"] = 1
    blob = store._blob("a.h5")  # type: ignore[attr-defined]
    # As another program uploads it: its blocks have other ids.
    settings = ContentSettings(content_type="application/x-hdf5", cache_control="no-cache")
    data = (tmp_path / "a.h5").read_bytes()
    settings.content_md5 = bytearray(hashlib.md5(data, usedforsecurity=False).digest())
    blob.upload_blob(data, metadata={"lab": "ours"}, content_settings=settings)
    assert blob.get_blob_properties().content_settings.content_md5 == settings.content_md5
    sent = count_sent(monkeypatch)
    for number in range(3):
        del sent[:]
        with nwbpipe.files.transaction(f"{container}/a.h5") as file:
            file[f"y{number}"] = range(10)
        properties = blob.get_blob_properties()
        assert (sum(sent) >= 800_000) == (number == 0), sent  # all of it once, and then what changed
        assert sum(sent) < properties.size * (2 if number == 0 else 0.4)
        assert properties.metadata["lab"] == "ours"
        assert properties.content_settings.content_type == "application/x-hdf5"
        assert properties.content_settings.cache_control == "no-cache"
        assert properties.content_settings.content_md5 is None  # programs that download it would find it damaged
        with nwbpipe.files.open_remote(f"{container}/a.h5") as file:
            assert list(file["large"]) == numbers
            assert list(file[f"y{number}"]) == list(range(10))


def test_a_lost_answer_is_asked_for_again(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.core.exceptions import ServiceResponseError
    from azure.core.pipeline.transport import RequestsTransport

    store = open_store(container)
    tag = store.write_bytes("a", b"old")
    send, sent = RequestsTransport.send, []

    def fail(transport: Any, request: Any, **options: Any) -> Any:
        answer = send(transport, request, **options)
        if "comp=blocklist" in request.url and not sent:
            sent.append(request)
            raise ServiceResponseError("the answer is lost")
        return answer

    monkeypatch.setattr(RequestsTransport, "send", fail)
    new = store.write_bytes("a", b"new", if_tag=tag)
    assert sent
    assert (store.stat("a").tag, store.read_bytes("a")) == (new, b"new")


def test_a_server_that_ignores_conditions_is_refused(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ignoring:
        """A blob of such a server."""

        def commit_block_list(self, blocks: object, **condition: object) -> None: ...

        def delete_blob(self) -> None: ...

    assert not _azure._ask_conditions(Ignoring())
    monkeypatch.setattr(_azure.AzureStore, "_make_probe", lambda _: Ignoring())
    monkeypatch.setattr(_objects, "_answers", {})
    with pytest.raises(FileAccessError, match="does not check conditions"):
        open_store(container).write_bytes("a", b"text", if_absent=True)
    assert list(open_store(container).list()) == []
