"""Export and import, on fakes: who may, what is kept, what is refused."""

from __future__ import annotations

import io
import zipfile
from typing import Any, BinaryIO, cast

import pytest

from gristmill.errors import Conflict, Forbidden, InvalidInput, NotFound, TooLarge
from gristmill.identity import Principal, Role
from gristmill.moving import Moving
from gristmill.realtime.publishing import Accepted
from gristmill.registry import Registry
from gristmill.schema import Parameter, ParameterType
from gristmill.service_file import write_head
from gristmill.services import PoolSize, Runtime, ServiceVersion
from gristmill.testing import MemoryBlobs, MemoryStores
from tests.contract.records import service

ANN = Principal(name="ann", role=Role.CONTRIBUTOR)
BOB = Principal(name="bob", role=Role.CONTRIBUTOR)
OWNER = Principal(name="root", role=Role.OWNER)
READER = Principal(name="eve", role=Role.READER)
START_UP = Principal(name="admin", role=Role.OWNER, replaces=True)
ROWS = (Parameter("inputData", ParameterType.DATA_FRAME, ("x",)),)


def workspace(text: str = "a model") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(".RData", text)
    return file.getvalue()


class Node:
    """A server's registry and blobs, with code and models that are sound unless they say `bad`."""

    def __init__(self) -> None:
        self.stores, self.blobs = MemoryStores(), MemoryBlobs()
        self.registry = Registry(self.stores.services, self.stores.snapshots)
        self.prepared: list[ServiceVersion] = []
        self.limit = 1 << 20  #: of a model
        self.moving = Moving(self.registry, self.blobs, self, cast(Any, self), self.prepare, limit=1 << 20)

    async def check(self, runtime: Runtime, code: str, init_code: str) -> None:
        if "bad" in code:
            raise InvalidInput("line 1: bad")

    async def accept(self, source: BinaryIO) -> Accepted:
        if source.read() != b"blob: a model":
            raise InvalidInput("the model is damaged")
        return Accepted(ROWS, (), (await self.blobs.put(io.BytesIO(b"native"))).digest)

    async def prepare(self, service: ServiceVersion) -> None:
        self.prepared.append(service)

    async def publish(self, content: bytes | None = None, **fields: Any) -> ServiceVersion:
        digest = None if content is None else (await self.blobs.put(io.BytesIO(content))).digest
        return await self.registry.take_in(service(content=digest, **fields), ANN, over=False)

    async def export(self, by: Principal = ANN, name: str = "bos", version: str = "1") -> io.BytesIO:
        exported = await self.moving.export(name, version, by)
        content = b""
        if exported.content is not None:
            with exported.content as file:
                content = file.read()
        assert len(exported.head) + len(content) == exported.size
        return io.BytesIO(exported.head + content)


@pytest.fixture
async def here() -> Node:
    node = Node()
    await node.registry.refresh()
    return node


@pytest.fixture
async def there() -> Node:
    node = Node()
    await node.registry.refresh()
    return node


async def test_a_service_goes_from_one_server_to_another(here: Node, there: Node) -> None:
    sent = await here.publish(
        workspace(), code="y <- x", init_code="z", batchable=True, pool=PoolSize(initial=1, maximum=2)
    )
    file = await here.export()
    got = await there.moving.take_in(file, BOB)
    assert (got.digest, got.content, got.pool, got.owner) == (sent.digest, sent.content, sent.pool, "bob")
    assert there.registry.resolve("bos", "1") == got
    assert there.blobs.contents[got.content or ""] == workspace()
    assert (await there.export(BOB)).getvalue() == file.getvalue()


async def test_a_service_without_content_goes_too(here: Node, there: Node) -> None:
    sent = await here.publish()
    assert (await there.moving.take_in(await here.export(), BOB)).digest == sent.digest
    assert there.blobs.contents == {}


async def test_another_name_and_version_may_be_given(here: Node) -> None:
    await here.publish(workspace())
    got = await here.moving.take_in(await here.export(), ANN, name="copy", version="2")
    assert here.registry.resolve("copy", "2") == got == got.sealed()
    for wrong in ({"name": "../x"}, {"version": ""}):
        with pytest.raises(InvalidInput, match="cannot be the"):
            await here.moving.take_in(await here.export(), ANN, **cast(Any, wrong))


async def test_only_who_may_change_a_service_exports_it(here: Node) -> None:
    await here.publish()
    for by in (BOB, READER):
        with pytest.raises(Forbidden, match="only they or an owner may export it"):
            await here.export(by)
    await here.export(OWNER)
    with pytest.raises(NotFound):
        await here.export(OWNER, version="2")


async def test_only_who_may_publish_imports(here: Node, there: Node) -> None:
    await here.publish(workspace())
    with pytest.raises(Forbidden, match="services:publish"):
        await there.moving.take_in(await here.export(), READER)
    assert there.registry.versions() == []


async def test_a_version_that_exists_is_kept_unless_it_may_be_replaced(here: Node, there: Node) -> None:
    await here.publish(workspace("new"))
    file = await here.export()
    old = await there.publish(workspace("old"), description="old")
    with pytest.raises(Conflict, match="exists already"):
        await there.moving.take_in(file, ANN)
    file.seek(0)
    with pytest.raises(Forbidden, match="bob"):
        await there.moving.take_in(file, BOB, over=True)
    assert there.registry.resolve("bos", "1") == old
    file.seek(0)
    got = await there.moving.take_in(file, OWNER, over=True)
    assert (got.owner, got.created, got.description) == (old.owner, old.created, "")
    assert there.blobs.contents[got.content or ""] == workspace("new")


async def test_start_up_replaces_and_leaves_alone_what_is_the_same(here: Node) -> None:
    sent = await here.publish(workspace())
    file = await here.export()
    revision = await here.stores.services.revision()
    assert await here.moving.take_in(file, START_UP) == sent
    assert await here.stores.services.revision() == revision


async def test_code_is_parsed_as_at_publish(here: Node, there: Node) -> None:
    await here.publish(workspace(), code="bad")
    with pytest.raises(InvalidInput, match="line 1: bad"):
        await there.moving.take_in(await here.export(), ANN)
    assert (there.registry.versions(), there.blobs.contents) == ([], {})


async def test_a_model_is_vetted_as_at_publish_and_loaded(here: Node, there: Node) -> None:
    fields = {"runtime": Runtime.REALTIME, "code": ""}
    await here.publish(b"blob: a model", inputs=ROWS, **fields)
    got = await there.moving.take_in(await here.export(), ANN)
    assert there.blobs.contents[got.content or ""] == b"native"
    assert there.prepared == [got]
    await here.publish(b"blob: a trap", version="2", **fields)
    with pytest.raises(InvalidInput, match="the model is damaged"):
        await there.moving.take_in(await here.export(version="2"), ANN)
    assert len(there.registry.versions()) == 1


async def test_a_realtime_service_has_a_model_and_no_code(there: Node) -> None:
    for fields in ({"code": ""}, {"code": "x", "content": "0" * 64}):
        head = write_head(service(runtime=Runtime.REALTIME, **fields), 0)
        with pytest.raises(InvalidInput, match="a model and no code"):
            await there.moving.take_in(io.BytesIO(head), ANN)


async def test_content_that_is_no_sound_archive_is_not_kept(here: Node, there: Node) -> None:
    await here.publish(b"no zip")
    with pytest.raises(InvalidInput, match="no zip"):
        await there.moving.take_in(await here.export(), ANN)
    await here.publish(workspace(), version="2")
    whole = (await here.export(version="2")).getvalue()
    for data in (whole[:-1], whole + b"x", whole[:-1] + b"x"):
        with pytest.raises(InvalidInput):
            await there.moving.take_in(io.BytesIO(data), ANN)
    assert (there.registry.versions(), there.blobs.contents) == ([], {})


async def test_something_after_the_manifest_of_a_service_without_content_is_refused(here: Node) -> None:
    await here.publish()
    file = io.BytesIO((await here.export()).getvalue() + b"x")
    with pytest.raises(InvalidInput, match="something was added"):
        await here.moving.take_in(file, ANN, name="copy")


async def test_content_over_the_limit_is_too_large(here: Node, there: Node) -> None:
    await here.publish(bytes(2 << 20))
    with pytest.raises(TooLarge, match="2097152 bytes, 1048576 at most"):
        await there.moving.take_in(await here.export(), ANN)
