"""What every `UserStore` promises."""

from collections.abc import Awaitable, Callable

import pytest

from gristmill.errors import Conflict, NotFound
from gristmill.identity import Role
from gristmill.ports import Stores
from tests.contract.records import family, user


async def test_an_account_comes_back_as_it_was_stored(stores: Stores) -> None:
    await stores.users.add(user("änn@example.org", Role.OWNER))
    assert await stores.users.get("änn@example.org") == user("änn@example.org", Role.OWNER)
    assert await stores.users.get("ann") is None


async def test_a_name_exists_once_and_case_matters(stores: Stores) -> None:
    await stores.users.add(user())
    with pytest.raises(Conflict, match="'ann'"):
        await stores.users.add(user())
    await stores.users.add(user("Ann"))


async def test_accounts_are_listed_by_name(stores: Stores) -> None:
    for name in ("bob", "ann", "Zoe", "_x"):
        await stores.users.add(user(name))
    assert [u.name for u in await stores.users.all()] == ["Zoe", "_x", "ann", "bob"]


Change = Callable[[Stores], Awaitable[None]]


@pytest.mark.parametrize(
    "change",
    [
        lambda stores: stores.users.set_password("ann", "another"),
        lambda stores: stores.users.set_role("ann", Role.READER),
        lambda stores: stores.users.remove("ann"),
    ],
    ids=["password", "role", "removal"],
)
async def test_what_takes_power_from_a_user_revokes_his_families_only(stores: Stores, change: Change) -> None:
    for name in ("ann", "bob"):
        await stores.users.add(user(name))
        assert await stores.tokens.start(family(f"of {name}", name), password_hash=f"hash of {name}")
    before = await stores.tokens.revision()
    await change(stores)
    assert await stores.tokens.find("of ann") is None
    assert await stores.tokens.find("of bob") is not None
    assert await stores.tokens.revision() > before


@pytest.mark.parametrize(
    "change",
    [
        lambda stores: stores.users.set_password("eve", "another"),
        lambda stores: stores.users.set_role("eve", Role.READER),
        lambda stores: stores.users.remove("eve"),
    ],
    ids=["password", "role", "removal"],
)
async def test_an_unknown_user_cannot_be_changed(stores: Stores, change: Change) -> None:
    before = await stores.revision()
    with pytest.raises(NotFound, match="'eve'"):
        await change(stores)
    assert await stores.revision() == before


async def test_changes_are_kept(stores: Stores) -> None:
    await stores.users.add(user())
    await stores.users.set_password("ann", "new")
    await stores.users.set_role("ann", Role.OWNER)
    changed = await stores.users.get("ann")
    assert changed is not None
    assert (changed.password_hash, changed.role) == ("new", Role.OWNER)


async def test_a_rehash_revokes_nothing_and_yields_to_a_new_password(stores: Stores) -> None:
    await stores.users.add(user())
    await stores.tokens.start(family(), password_hash="hash of ann")
    before = await stores.tokens.revision()
    await stores.users.rehash("ann", "hash of ann", "stronger")
    await stores.users.rehash("ann", "hash of ann", "late")
    await stores.users.rehash("eve", "hash of eve", "stronger")
    found = await stores.users.get("ann")
    assert found is not None
    assert found.password_hash == "stronger"
    assert await stores.tokens.find("f1") is not None
    assert await stores.tokens.revision() == before
