"""The password of start-up publishing: good for admin, here, until it is over."""

import asyncio

import pytest

from gristmill.auth import Accounts, Users
from gristmill.errors import NotAuthenticated, NotFound
from gristmill.identity import Role
from gristmill.ports import TokenFamily
from gristmill.testing import MemoryStores


@pytest.fixture(autouse=True)
async def admin(users: Users) -> None:
    await users.add("admin", "admin's own password", Role.OWNER)


async def test_it_logs_admin_in_beside_his_own(accounts: Accounts) -> None:
    async with accounts.one_time_password() as password:
        pair = await accounts.login("admin", password)
        principal = await accounts.verify(pair.access_token)
        assert (principal.name, principal.role, principal.replaces) == ("admin", Role.OWNER, True)
        own = await accounts.login("admin", "admin's own password")
        assert (await accounts.verify(own.access_token)).replaces is False


async def test_it_is_good_for_nobody_else_and_nothing_near_it_is_good(accounts: Accounts) -> None:
    async with accounts.one_time_password() as password:
        for name, sent in (("ann", password), ("admin", password[:-1]), ("admin", ""), ("Admin", password)):
            with pytest.raises(NotAuthenticated):
                await accounts.login(name, sent)


async def test_when_it_is_over_it_is_refused_and_its_logins_are_dead(accounts: Accounts) -> None:
    async with accounts.one_time_password() as password:
        first, second = [await accounts.login("admin", password) for _ in range(2)]
        renewed = await accounts.refresh(second.refresh_token)
        assert (await accounts.verify(renewed.access_token)).replaces is True
        own = await accounts.login("admin", "admin's own password")
        await accounts.verify(first.access_token)
    for pair in (first, second, renewed):
        assert accounts.cached(pair.access_token) is None
        with pytest.raises(NotAuthenticated):
            await accounts.verify(pair.access_token)
        with pytest.raises(NotAuthenticated):
            await accounts.refresh(pair.refresh_token)
    with pytest.raises(NotAuthenticated):
        await accounts.login("admin", password)
    assert (await accounts.verify(own.access_token)).name == "admin"


async def test_it_ends_when_publishing_fails(accounts: Accounts) -> None:
    with pytest.raises(RuntimeError):
        async with accounts.one_time_password() as password:
            raise RuntimeError
    with pytest.raises(NotAuthenticated):
        await accounts.login("admin", password)


async def test_each_is_another_and_none_is_stored(accounts: Accounts, stores: MemoryStores) -> None:
    async with accounts.one_time_password() as first:
        await accounts.login("admin", first)
        assert first not in repr((stores.users.rows, stores.tokens.rows))
    async with accounts.one_time_password() as second:
        assert second != first
        with pytest.raises(NotAuthenticated):
            await accounts.login("admin", first)


async def test_a_login_that_is_under_way_when_it_ends_gives_nothing(
    accounts: Accounts, stores: MemoryStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    start = stores.tokens.start

    async def slow(family: TokenFamily, *, password_hash: str) -> bool:
        reached.set()
        await go_on.wait()
        return await start(family, password_hash=password_hash)

    async with accounts.one_time_password() as password:
        monkeypatch.setattr(stores.tokens, "start", slow)
        login = asyncio.create_task(accounts.login("admin", password))
        await reached.wait()
    go_on.set()
    with pytest.raises(NotAuthenticated):
        await login
    assert stores.tokens.rows == {}


async def test_without_an_admin_it_says_so(accounts: Accounts, stores: MemoryStores) -> None:
    del stores.users.rows["admin"]
    async with accounts.one_time_password() as password:
        with pytest.raises(NotFound, match="no account 'admin'"):
            await accounts.login("admin", password)
