"""What every `BundleStore` promises."""

import asyncio

from gristmill.ports import Stores


async def test_what_is_recorded_is_known_from_then_on(stores: Stores) -> None:
    assert await stores.bundles.applied(["a" * 64, "b" * 64]) == set()
    await stores.bundles.record("a" * 64, "boston")
    assert await stores.bundles.applied(["a" * 64, "b" * 64]) == {"a" * 64}
    assert await stores.bundles.applied([]) == set()


async def test_recording_it_again_changes_nothing(stores: Stores) -> None:
    await stores.bundles.record("a" * 64, "boston")
    await stores.bundles.record("a" * 64, "another name of the same files")
    assert await stores.bundles.applied(["a" * 64]) == {"a" * 64}


async def test_two_nodes_may_record_the_same_at_once(stores: Stores) -> None:
    await asyncio.gather(*(stores.bundles.record("c" * 64, "boston") for _ in range(8)))
    assert await stores.bundles.applied(["c" * 64]) == {"c" * 64}
