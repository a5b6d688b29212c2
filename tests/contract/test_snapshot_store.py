"""What every `SnapshotStore` promises."""

import pytest

from gristmill.errors import Conflict
from gristmill.ports import Stores
from gristmill.services import Runtime
from tests.contract.records import snapshot


async def test_a_snapshot_comes_back_as_it_was_stored(stores: Stores) -> None:
    stored = snapshot(runtime=Runtime.PYTHON)
    await stores.snapshots.add(stored)
    assert await stores.snapshots.get("s1") == stored


@pytest.mark.parametrize("id", ["unknown", "", "../x", "a\x00b", "\ud800", "ü", "x" * 100_000])
async def test_an_unknown_id_is_none_whatever_it_looks_like(stores: Stores, id: str) -> None:
    assert await stores.snapshots.get(id) is None


async def test_an_id_exists_once(stores: Stores) -> None:
    await stores.snapshots.add(snapshot())
    with pytest.raises(Conflict, match="'s1'"):
        await stores.snapshots.add(snapshot(owner="bob"))
    assert [s.owner for s in await stores.snapshots.of("ann")] == ["ann"]


async def test_a_user_sees_his_own_oldest_first(stores: Stores) -> None:
    for id, owner in (("z", "ann"), ("b", "bob"), ("a", "ann")):
        await stores.snapshots.add(snapshot(id, owner))
    assert [s.id for s in await stores.snapshots.of("ann")] == ["z", "a"]
    assert await stores.snapshots.of("eve") == []


async def test_removing_says_whether_there_was_one(stores: Stores) -> None:
    await stores.snapshots.add(snapshot())
    assert await stores.snapshots.remove("s1") is True
    assert await stores.snapshots.remove("s1") is False
    assert await stores.snapshots.get("s1") is None


async def test_references_are_those_of_snapshots_and_services(stores: Stores) -> None:
    await stores.snapshots.add(snapshot("s1", content="1" * 64))
    await stores.snapshots.add(snapshot("s2", content="2" * 64))
    await stores.snapshots.add(snapshot("s3", content="2" * 64))
    await stores.snapshots.remove("s2")
    assert await stores.references() == {"1" * 64, "2" * 64}


async def test_closing_twice_does_no_harm(stores: Stores) -> None:
    await stores.close()
    await stores.close()
