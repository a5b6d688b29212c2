"""What every `TokenStore` promises."""

import asyncio

import pytest

from gristmill.identity import Role
from gristmill.ports import Stores, TokenStore
from tests.contract.records import family, user


@pytest.fixture
async def tokens(stores: Stores) -> TokenStore:
    """The store, with one family of ann."""
    await stores.users.add(user())
    assert await stores.tokens.start(family(), password_hash="hash of ann")
    return stores.tokens


async def test_a_family_comes_back_with_the_role_of_now(stores: Stores, tokens: TokenStore) -> None:
    assert await tokens.find("f1") == family()
    await stores.users.set_role("ann", Role.OWNER)
    await tokens.start(family("f2"), password_hash="hash of ann")
    found = await tokens.find("f2")
    assert found is not None
    assert found.role is Role.OWNER
    assert await tokens.find("unknown") is None


async def test_a_login_that_was_overtaken_by_a_new_password_starts_no_family(
    stores: Stores, tokens: TokenStore
) -> None:
    await stores.users.set_password("ann", "new")
    assert not await tokens.start(family("late"), password_hash="hash of ann")
    assert not await tokens.start(family("ghost", "eve"), password_hash="hash of eve")
    assert await tokens.generations(["late", "ghost"]) == {}


async def test_a_login_alone_moves_no_revision(tokens: TokenStore) -> None:
    before = await tokens.revision()
    await tokens.start(family("f2"), password_hash="hash of ann")
    assert await tokens.revision() == before


async def test_rotating_counts_the_generation_and_kills_the_old_hash(tokens: TokenStore) -> None:
    before = await tokens.revision()
    assert await tokens.rotate("f1", old_hash="first", new_hash="second", now=2000)
    assert await tokens.find("f1") == family(generation=1, refresh_hash="second", used=2000)
    assert await tokens.revision() == before + 1
    assert not await tokens.rotate("f1", old_hash="first", new_hash="third", now=3000)
    assert not await tokens.rotate("unknown", old_hash="first", new_hash="third", now=3000)
    assert await tokens.revision() == before + 1


async def test_of_concurrent_rotations_one_succeeds(tokens: TokenStore) -> None:
    tries = [tokens.rotate("f1", old_hash="first", new_hash=f"of {i}", now=2000) for i in range(12)]
    results = await asyncio.gather(*tries)
    found = await tokens.find("f1")
    assert found is not None
    assert sorted(results) == [False] * 11 + [True]
    assert (found.generation, found.refresh_hash) == (1, f"of {results.index(True)}")


async def test_revoking_says_whether_there_was_one(tokens: TokenStore) -> None:
    before = await tokens.revision()
    assert await tokens.revoke("f1") is True
    assert await tokens.revision() == before + 1
    assert await tokens.revoke("f1") is False
    assert await tokens.revision() == before + 1
    assert await tokens.find("f1") is None


async def test_generations_are_told_of_many_families_at_once(tokens: TokenStore) -> None:
    await tokens.start(family("f2"), password_hash="hash of ann")
    await tokens.rotate("f2", old_hash="first", new_hash="second", now=2000)
    asked = [*(f"unknown {i}" for i in range(1200)), "f1", "f2"]
    assert await tokens.generations(asked) == {"f1": 0, "f2": 1}
    assert await tokens.generations([]) == {}


async def test_purging_forgets_what_is_too_old_or_unused(tokens: TokenStore) -> None:
    await tokens.start(family("born early", created=10, used=5000), password_hash="hash of ann")
    await tokens.start(family("unused", created=900, used=900), password_hash="hash of ann")
    assert await tokens.purge(created_before=100, used_before=1000) == 2
    assert set(await tokens.generations(["f1", "born early", "unused"])) == {"f1"}
