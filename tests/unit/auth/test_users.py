"""Managing accounts, and the hashes of their passwords."""

import asyncio

import pytest

from gristmill.auth import Passwords, Users, ensure_admin, generate_password
from gristmill.auth.passwords import WAITING, check_password
from gristmill.errors import Conflict, Forbidden, InvalidInput, NotFound, Overloaded
from gristmill.identity import Role
from gristmill.testing import MemoryStores


async def test_users_are_added_listed_changed_and_removed(users: Users, stores: MemoryStores) -> None:
    await users.add("bob", "bob's password", Role.READER)
    with pytest.raises(Conflict):
        await users.add("bob", "bob's password", Role.READER)
    assert [(u.name, u.role) for u in await users.all()] == [("ann", "contributor"), ("bob", "reader")]
    await users.set_role("bob", Role.OWNER)
    assert stores.users.rows["bob"].role is Role.OWNER
    await users.remove("bob")
    with pytest.raises(NotFound):
        await users.remove("bob")


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "../x", "a\x00", "x" * 129, "a\n", "\ud800", "a\u0308", "a'--"]
)
async def test_a_name_that_cannot_be_shown_or_typed_is_refused(users: Users, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot name a user"):
        await users.add(name, "a password", Role.READER)


@pytest.mark.parametrize("password", ["", "short", "x" * 1025, "a\x00bcdefgh", "\ud800" * 8])
async def test_a_password_that_is_short_or_no_text_is_refused(users: Users, password: str) -> None:
    with pytest.raises(InvalidInput):
        await users.add("bob", password, Role.READER)
    with pytest.raises(InvalidInput):
        await users.set_password("ann", password)


async def test_hashes_are_argon2id_and_salted(stores: MemoryStores, passwords: Passwords) -> None:
    hashes = [await passwords.hash("the same") for _ in range(2)]
    assert all(h.startswith("$argon2id$v=19$m=8,t=1,p=1$") for h in hashes)
    assert len(set(hashes)) == 2
    assert await passwords.matches(hashes[0], "the same")
    assert not await passwords.matches(hashes[0], "another")
    assert not await passwords.matches("no hash at all", "the same")


def test_the_parameters_in_use_are_those_recommended() -> None:
    passwords = Passwords()
    assert passwords._hasher.memory_cost >= 19 * 1024
    assert passwords._hasher.time_cost >= 2
    passwords.close()


async def test_logins_that_wait_are_bounded(passwords: Passwords) -> None:
    release = asyncio.Event()
    inside = 0

    async def login() -> None:
        nonlocal inside
        async with passwords.turn():
            inside += 1
            await release.wait()

    tasks = [asyncio.create_task(login()) for _ in range(2 + WAITING)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert inside == 2
    with pytest.raises(Overloaded):
        await login()
    release.set()
    await asyncio.gather(*tasks)
    await login()


async def test_the_first_start_makes_admin_with_a_strong_password(
    stores: MemoryStores, passwords: Passwords
) -> None:
    password = await ensure_admin(stores.users, passwords, None)
    assert password is not None
    assert len(check_password(password)) == 24
    assert await passwords.matches(stores.users.rows["admin"].password_hash, password)
    assert stores.users.rows["admin"].role is Role.OWNER
    assert await ensure_admin(stores.users, passwords, None) is None
    assert generate_password() != password


async def test_a_configured_password_is_used_and_replaces_another(
    stores: MemoryStores, passwords: Passwords
) -> None:
    assert await ensure_admin(stores.users, passwords, "configured one") is None
    first = stores.users.rows["admin"].password_hash
    assert await ensure_admin(stores.users, passwords, "configured one") is None
    assert stores.users.rows["admin"].password_hash == first
    assert await ensure_admin(stores.users, passwords, "configured two") is None
    assert await passwords.matches(stores.users.rows["admin"].password_hash, "configured two")


async def test_a_configured_password_that_is_too_short_stops_the_start(
    stores: MemoryStores, passwords: Passwords
) -> None:
    with pytest.raises(InvalidInput, match="8 to 1024"):
        await ensure_admin(stores.users, passwords, "short")


async def test_nodes_that_start_at_once_make_one_admin(stores: MemoryStores, passwords: Passwords) -> None:
    results = await asyncio.gather(*(ensure_admin(stores.users, passwords, None) for _ in range(4)))
    (password,) = [result for result in results if result is not None]
    assert await passwords.matches(stores.users.rows["admin"].password_hash, password)


async def test_admin_can_be_neither_removed_nor_demoted(
    users: Users, stores: MemoryStores, passwords: Passwords
) -> None:
    await ensure_admin(stores.users, passwords, None)
    with pytest.raises(Forbidden, match="cannot be removed"):
        await users.remove("admin")
    with pytest.raises(Forbidden, match="stays owner"):
        await users.set_role("admin", Role.READER)
    await users.set_password("admin", "a new password")
