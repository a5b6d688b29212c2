"""Accounts on fakes, with a clock that tests set and hashes that cost nothing."""

from collections.abc import Iterator

import pytest

from gristmill.auth import Accounts, Passwords, SigningKey, Users, load_or_create_key
from gristmill.identity import Role
from gristmill.testing import MemoryStores


class Clock:
    """Epoch seconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return load_or_create_key(tmp_path_factory.mktemp("key") / "key.pem")


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    cheap = Passwords(memory_kib=8, passes=1)
    yield cheap
    cheap.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stores() -> MemoryStores:
    return MemoryStores()


@pytest.fixture
async def users(stores: MemoryStores, passwords: Passwords) -> Users:
    """With ann, a contributor, whose password is `ann's password`."""
    users = Users(stores.users, passwords)
    await users.add("ann", "ann's password", Role.CONTRIBUTOR)
    return users


@pytest.fixture
def accounts(
    stores: MemoryStores, users: Users, key: SigningKey, passwords: Passwords, clock: Clock
) -> Accounts:
    return Accounts(stores.users, stores.tokens, key=key, passwords=passwords, clock=clock)
