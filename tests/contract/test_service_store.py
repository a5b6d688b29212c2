"""What every `ServiceStore` promises."""

import asyncio
from dataclasses import replace

import pytest

from gristmill.errors import Conflict, NotFound
from gristmill.ports import Stores
from gristmill.schema import Form, Parameter, ParameterType
from gristmill.services import Runtime
from tests.contract.records import service, snapshot


async def test_an_empty_store_has_a_revision_and_nothing_else(stores: Stores) -> None:
    revision, services = await stores.services.load()
    assert services == []
    assert revision == await stores.services.revision()


async def test_a_version_comes_back_as_it_was_stored(stores: Stores) -> None:
    await stores.snapshots.add(snapshot())
    full = service(
        runtime=Runtime.PYTHON,
        code='y = "ü😀\\"\n\t"',
        init_code="import numpy",
        description="Prices\r\nof houses",
        operation_id="price.of_house",
        inputs=(
            Parameter("a b", ParameterType.NUMERIC),
            Parameter("frame", ParameterType.DATA_FRAME, ("ü", "z", "a"), Form.ARRAY),
        ),
        outputs=(Parameter("y", ParameterType.VECTOR),),
        output_files=("plot.png", "ü.csv"),
        snapshot_id="s1",
        content="c" * 64,
        batchable=True,
    )
    await stores.services.add(full)
    await stores.services.add(service("bare"))
    assert (await stores.services.load())[1] == [full, service("bare")]


async def test_each_write_moves_the_revision_by_one(stores: Stores) -> None:
    start = await stores.services.revision()
    first = service()
    changed = replace(first, code="y")
    assert await stores.services.add(first) == start + 1
    assert await stores.services.replace(first, changed) == start + 2
    assert await stores.services.remove(changed) == start + 3
    assert await stores.services.revision() == start + 3
    assert await stores.services.load() == (start + 3, [])


async def test_a_name_and_version_exist_once(stores: Stores) -> None:
    await stores.services.add(service())
    before = await stores.services.load()
    with pytest.raises(Conflict, match="'bos' version '1'"):
        await stores.services.add(service(code="other"))
    assert await stores.services.load() == before
    await stores.services.add(service("bos", "2"))
    await stores.services.add(service("other", "1"))


async def test_of_concurrent_adds_of_one_version_one_succeeds(stores: Stores) -> None:
    rivals = [service(code=f"code {i}") for i in range(12)]
    results = await asyncio.gather(*map(stores.services.add, rivals), return_exceptions=True)
    assert sorted(type(r).__name__ for r in results) == ["Conflict"] * 11 + ["int"]
    winner = rivals[next(i for i, r in enumerate(results) if isinstance(r, int))]
    assert (await stores.services.load())[1] == [winner]


async def test_versions_come_in_the_order_in_which_they_were_added(stores: Stores) -> None:
    added = [service("bos", version) for version in ("10", "9", "b", "a")]
    for each in added:
        await stores.services.add(each)
    changed = replace(added[1], description="still the second")
    await stores.services.replace(added[1], changed)
    await stores.services.remove(added[3])
    await stores.services.add(added[3])
    assert (await stores.services.load())[1] == [added[0], changed, added[2], added[3]]


async def test_concurrent_adds_are_all_kept_and_counted(stores: Stores) -> None:
    added = [service("bos", str(i)) for i in range(20)]
    revisions = await asyncio.gather(*map(stores.services.add, added))
    assert sorted(revisions) == list(range(min(revisions), min(revisions) + 20))
    in_order = [each for _, each in sorted(zip(revisions, added, strict=True), key=lambda pair: pair[0])]
    assert (await stores.services.load())[1] == in_order


async def test_what_has_changed_meanwhile_is_neither_replaced_nor_removed(stores: Stores) -> None:
    old = service()
    await stores.services.add(old)
    new = replace(old, description="new")
    await stores.services.replace(old, new)
    before = await stores.services.load()
    assert await stores.services.replace(old, replace(old, code="lost")) is None
    assert await stores.services.remove(old) is None
    assert await stores.services.remove(service("unknown")) is None
    assert await stores.services.load() == before


async def test_of_concurrent_changes_of_one_version_one_succeeds(stores: Stores) -> None:
    old = service()
    await stores.services.add(old)
    changes = [replace(old, description=str(i)) for i in range(8)]
    results = await asyncio.gather(*(stores.services.replace(old, new) for new in changes))
    assert len([r for r in results if r is not None]) == 1


async def test_content_must_be_referred_to_when_a_service_takes_it(stores: Stores) -> None:
    bare = service("bare")
    await stores.services.add(bare)
    with_content = service(content="c" * 64)
    with pytest.raises(NotFound, match="snapshot was deleted"):
        await stores.services.add(with_content)
    with pytest.raises(NotFound, match="snapshot was deleted"):
        await stores.services.replace(bare, replace(bare, content="c" * 64))
    await stores.snapshots.add(snapshot())
    await stores.services.add(with_content)


async def test_content_stays_referred_to_after_its_snapshot_is_gone(stores: Stores) -> None:
    await stores.snapshots.add(snapshot())
    old = service(content="c" * 64)
    await stores.services.add(old)
    await stores.snapshots.remove("s1")
    assert await stores.references() == {"c" * 64}
    new = replace(old, description="new")
    await stores.services.replace(old, new)
    await stores.services.remove(new)
    assert await stores.references() == set()


async def test_content_that_was_put_just_now_needs_nobody_who_refers_to_it(stores: Stores) -> None:
    first = service(content="a" * 64)
    with pytest.raises(NotFound):
        await stores.services.add(first)
    await stores.services.add(first, fresh=True)
    second = service(content="b" * 64)
    with pytest.raises(NotFound):
        await stores.services.replace(first, second)
    assert await stores.services.replace(first, second, fresh=True) is not None
    assert (await stores.services.load())[1] == [second]
    assert await stores.references() == {"b" * 64}
