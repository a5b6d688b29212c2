"""Verdicts on tokens: bounded in number and time."""

from gristmill.auth.tokens import Claims
from gristmill.auth.verdicts import Verdicts
from gristmill.identity import Principal, Role
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
