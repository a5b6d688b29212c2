"""Verdicts on tokens: bounded in number and time."""

from collections.abc import Iterable
from typing import cast

import pytest

from gristmill.auth.tokens import Claims
from gristmill.auth.verdicts import LONGEST, Verdicts
from gristmill.identity import Principal, Role
from gristmill.ports import StateUnavailable, TokenStore
from gristmill.testing import MemoryStores

from .conftest import Clock

ANN = Principal(name="ann", role=Role.READER)


def claims(family: str, generation: int = 0, exp: int = 2_000_000_000) -> Claims:
    return Claims(
        iss="", aud="", sub="ann", role=Role.READER, jti="", sid=family, gen=generation, iat=0, exp=exp
    )


def test_no_more_are_kept_than_there_is_room_for(stores: MemoryStores, clock: Clock) -> None:
    verdicts = Verdicts(stores.tokens, clock=clock, size=3)
    for i in range(5):
        verdicts.keep(f"token {i}", ANN, claims(f"family {i}"), verdicts.epoch)
    assert [verdicts.get(f"token {i}") for i in range(5)] == [None, None, ANN, ANN, ANN]


def test_a_family_has_one_token(stores: MemoryStores, clock: Clock) -> None:
    verdicts = Verdicts(stores.tokens, clock=clock)
    verdicts.keep("old", ANN, claims("family"), verdicts.epoch)
    verdicts.keep("new", ANN, claims("family", 1), verdicts.epoch)
    assert (verdicts.get("old"), verdicts.get("new")) == (None, ANN)
    verdicts.drop("family")
    verdicts.drop("family")
    assert verdicts.get("new") is None


def test_a_verdict_ends_with_its_token_and_after_five_minutes_at_most(
    stores: MemoryStores, clock: Clock
) -> None:
    verdicts = Verdicts(stores.tokens, clock=clock)
    verdicts.keep("short", ANN, claims("a", exp=int(clock.now) + 10), verdicts.epoch)
    verdicts.keep("long", ANN, claims("b"), verdicts.epoch)
    clock.now += 10
    assert (verdicts.get("short"), verdicts.get("long")) == (None, ANN)
    clock.now += 290
    assert verdicts.get("long") is None


class Away:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.here = True

    async def revision(self) -> int:
        if not self.here:
            raise StateUnavailable("away")
        return 1

    async def generations(self, ids: Iterable[str]) -> dict[str, int]:
        return dict.fromkeys(ids, 0)


async def test_verdicts_hold_for_five_minutes_of_an_outage_however_old_they_are(clock: Clock) -> None:
    store = Away()
    verdicts = Verdicts(cast("TokenStore", store), clock=clock)
    verdicts.keep("token", ANN, claims("a"), verdicts.epoch)
    for _ in range(1000):
        clock.now += 1
        await verdicts.synchronize()
    assert verdicts.get("token") == ANN
    store.here = False
    clock.now += LONGEST - 1
    with pytest.raises(StateUnavailable):
        await verdicts.synchronize()
    assert verdicts.get("token") == ANN
    clock.now += 1
    assert verdicts.get("token") is None
    store.here = True
    await verdicts.synchronize()
    assert verdicts.get("token") == ANN
    clock.now = 2_000_000_000
    assert verdicts.get("token") is None


async def test_while_the_revision_stands_the_store_is_asked_for_nothing_else(
    stores: MemoryStores, clock: Clock
) -> None:
    verdicts = Verdicts(stores.tokens, clock=clock)
    await verdicts.synchronize()
    verdicts.keep("token", ANN, claims("not in the store"), verdicts.epoch)
    await verdicts.synchronize()
    assert verdicts.get("token") == ANN
    stores.tokens.revoke_all("somebody")
    await verdicts.synchronize()
    assert verdicts.get("token") is None
