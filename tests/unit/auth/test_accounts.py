"""Logging in, refreshing, revoking, verifying."""

import asyncio
import base64
import hmac
import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from gristmill.auth import Accounts, Passwords, SigningKey, TokenPair, Users
from gristmill.auth.passwords import WAITING
from gristmill.errors import NotAuthenticated, Overloaded, TooManyAttempts
from gristmill.identity import Principal, Role
from gristmill.testing import MemoryStores

from .conftest import Clock

ANN = Principal(name="ann", role=Role.CONTRIBUTOR)
DAY = 86_400


@pytest.fixture
async def pair(accounts: Accounts) -> TokenPair:
    return await accounts.login("ann", "ann's password")


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


async def fails(accounts: Accounts, token: str) -> bool:
    """Whether the access token is refused, by the kept verdict and by a fresh look."""
    refused = accounts.cached(token) is None
    try:
        await accounts.verify(token)
    except NotAuthenticated:
        return refused
    return False


async def test_a_login_yields_a_pair_that_is_good_for_an_hour(
    accounts: Accounts, pair: TokenPair, clock: Clock
) -> None:
    assert (pair.expires_in, pair.expires_on) == (3600, int(clock.now) + 3600)
    assert accounts.cached(pair.access_token) is None
    assert await accounts.verify(pair.access_token) == ANN
    assert accounts.cached(pair.access_token) == ANN
    assert await accounts.verify(pair.access_token) is accounts.cached(pair.access_token)
    clock.now += 3599
    assert await accounts.verify(pair.access_token) == ANN
    clock.now += 1
    assert await fails(accounts, pair.access_token)


async def test_a_token_says_whose_it_is(pair: TokenPair, clock: Clock) -> None:
    access, refresh = claims_of(pair.access_token), claims_of(pair.refresh_token)
    assert access.keys() == {"iss", "aud", "sub", "role", "jti", "sid", "gen", "iat", "exp"}
    assert (access["sub"], access["role"], access["gen"]) == ("ann", "contributor", 0)
    assert access["sid"] == refresh["sid"]
    assert access["jti"] != refresh["jti"]
    assert refresh["exp"] - int(clock.now) == 14 * DAY


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("ann", "wrong password"),
        ("ann", ""),
        ("ann", "x" * 1_000_000),
        ("ann", "half \ud800"),
        ("eve", "ann's password"),
        ("", ""),
        ("Ann", "ann's password"),
        ("a\x00", "ann's password"),
        ("\ud800", "ann's password"),
        ("x" * 100_000, "ann's password"),
    ],
)
async def test_wrong_user_and_wrong_password_get_the_same_answer(
    accounts: Accounts, username: str, password: str
) -> None:
    with pytest.raises(NotAuthenticated, match=r"^the user name or the password is wrong$"):
        await accounts.login(username, password)


async def test_an_unknown_user_costs_a_hash_too(
    accounts: Accounts, passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    verify = passwords._verify

    def counted(known: str, secret: bytes) -> bool:
        compared.append(known)
        return verify(known, secret)

    monkeypatch.setattr(passwords, "_verify", counted)
    for username in ("ann", "eve"):
        with pytest.raises(NotAuthenticated):
            await accounts.login(username, "wrong password")
    real, nobody = compared
    assert real.rsplit("$", 2)[0] == nobody.rsplit("$", 2)[0], "the same parameters, and so the same time"
    assert list(map(len, real.split("$"))) == list(map(len, nobody.split("$")))


async def test_a_password_typed_in_another_normal_form_is_the_same(accounts: Accounts, users: Users) -> None:
    await users.add("zoe", "pässwörd", Role.READER)
    await accounts.login("zoe", "pa\u0308sswo\u0308rd")


async def test_refreshing_kills_the_old_pair(accounts: Accounts, pair: TokenPair) -> None:
    await accounts.verify(pair.access_token)
    new = await accounts.refresh(pair.refresh_token)
    assert await fails(accounts, pair.access_token)
    assert await accounts.verify(new.access_token) == ANN
    with pytest.raises(NotAuthenticated):
        await accounts.refresh(pair.refresh_token)


async def test_a_late_reuse_of_a_refresh_token_revokes_the_family(
    accounts: Accounts, pair: TokenPair, clock: Clock
) -> None:
    new = await accounts.refresh(pair.refresh_token)
    await accounts.verify(new.access_token)
    clock.now += 11
    with pytest.raises(NotAuthenticated, match="used already"):
        await accounts.refresh(pair.refresh_token)
    assert await fails(accounts, new.access_token)
    with pytest.raises(NotAuthenticated, match="revoked"):
        await accounts.refresh(new.refresh_token)


async def test_reuse_of_a_token_two_generations_old_revokes_the_family_at_once(
    accounts: Accounts, pair: TokenPair
) -> None:
    second = await accounts.refresh(pair.refresh_token)
    third = await accounts.refresh(second.refresh_token)
    with pytest.raises(NotAuthenticated):
        await accounts.refresh(pair.refresh_token)
    assert await fails(accounts, third.access_token)


async def test_of_concurrent_refreshes_one_wins_and_its_pair_works(
    accounts: Accounts, pair: TokenPair
) -> None:
    tries = [accounts.refresh(pair.refresh_token) for _ in range(8)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    winners = [result for result in results if isinstance(result, TokenPair)]
    assert len(winners) == 1
    assert sum(isinstance(result, NotAuthenticated) for result in results) == 7
    assert await accounts.verify(winners[0].access_token) == ANN
    await accounts.refresh(winners[0].refresh_token)


async def test_other_logins_of_a_user_are_left_alone(accounts: Accounts, pair: TokenPair) -> None:
    other = await accounts.login("ann", "ann's password")
    await accounts.revoke(pair.refresh_token)
    assert await accounts.verify(other.access_token) == ANN


async def test_revoking_kills_both_tokens(accounts: Accounts, pair: TokenPair) -> None:
    await accounts.verify(pair.access_token)
    await accounts.revoke(pair.refresh_token)
    assert await fails(accounts, pair.access_token)
    for use in (accounts.refresh, accounts.revoke):
        with pytest.raises(NotAuthenticated):
            await use(pair.refresh_token)


async def test_a_refresh_token_ends_after_14_days_without_use(
    accounts: Accounts, pair: TokenPair, clock: Clock
) -> None:
    clock.now += 14 * DAY - 1
    pair = await accounts.refresh(pair.refresh_token)
    clock.now += 14 * DAY
    with pytest.raises(NotAuthenticated, match="expired"):
        await accounts.refresh(pair.refresh_token)


async def test_a_family_ends_after_90_days_however_it_is_used(
    accounts: Accounts, pair: TokenPair, clock: Clock
) -> None:
    start = clock.now
    for day in (13, 26, 39, 52, 65, 78, 89):
        clock.now = start + day * DAY
        pair = await accounts.refresh(pair.refresh_token)
    clock.now = start + 90 * DAY - 10
    pair = await accounts.refresh(pair.refresh_token)
    assert pair.expires_in == 10
    clock.now += 10
    with pytest.raises(NotAuthenticated, match="expired"):
        await accounts.refresh(pair.refresh_token)
    assert await fails(accounts, pair.access_token)


async def test_purging_deletes_what_has_expired(
    accounts: Accounts, pair: TokenPair, clock: Clock, stores: MemoryStores
) -> None:
    clock.now += 14 * DAY - 1
    used = await accounts.login("ann", "ann's password")
    assert await accounts.purge() == 0
    clock.now += 2
    assert await accounts.purge() == 1
    assert list(stores.tokens.rows) == [claims_of(used.access_token)["sid"]]
    assert claims_of(pair.access_token)["sid"] not in stores.tokens.rows


async def test_the_two_kinds_of_token_cannot_stand_in_for_each_other(
    accounts: Accounts, pair: TokenPair
) -> None:
    assert await fails(accounts, pair.refresh_token)
    for use in (accounts.refresh, accounts.revoke):
        with pytest.raises(NotAuthenticated, match="not valid"):
            await use(pair.access_token)


async def test_only_a_hash_of_the_refresh_token_is_stored(pair: TokenPair, stores: MemoryStores) -> None:
    (row,) = stores.tokens.rows.values()
    assert pair.refresh_token not in repr(row)
    assert len(row.refresh_hash) == 64


async def test_forged_and_broken_tokens_are_refused(
    accounts: Accounts, pair: TokenPair, key: SigningKey
) -> None:
    claims = claims_of(pair.access_token)
    header, payload, signature = pair.access_token.split(".")

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    hmac_header = part({"alg": "HS256"})
    mac = hmac.digest(key.key.as_pem(private=False), f"{hmac_header}.{payload}".encode(), "sha256")
    confused = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    forged = [
        "",
        ".",
        "..",
        "....",
        "Bearer",
        "\ud800",
        "x" * 100_000,
        pair.access_token[:-4] + "AAAA",
        pair.access_token + "A",
        f"{header}.{part({**claims, 'sub': 'admin'})}.{signature}",
        f"{part({'alg': 'none'})}.{payload}.",
        f"{part({'alg': 'none'})}.{payload}.{signature}",
        f"{part({'alg': 'ES256', 'crit': ['x']})}.{payload}.{signature}",
        f"{part([])}.{payload}.{signature}",
        jwt.encode({"alg": "ES256"}, claims, ECKey.generate_key("P-256")),
        f"{hmac_header}.{payload}.{confused}",
        jwt.encode({"alg": "ES256"}, {**claims, "iss": "other"}, key.key),
        jwt.encode({"alg": "ES256"}, {**claims, "aud": ["gristmill"]}, key.key),
        jwt.encode({"alg": "ES256"}, {**claims, "exp": "never"}, key.key),
        jwt.encode({"alg": "ES256"}, {**claims, "sub": "admin"}, key.key),
        jwt.encode({"alg": "ES256"}, {**claims, "gen": 1}, key.key),
        jwt.encode({"alg": "ES256"}, {**claims, "sid": "other"}, key.key),
        jwt.encode({"alg": "ES256"}, {name: claims[name] for name in claims if name != "exp"}, key.key),
    ]
    for token in forged:
        assert await fails(accounts, token), token[:200]
        with pytest.raises(NotAuthenticated):
            await accounts.refresh(token)
    assert await accounts.verify(pair.access_token) == ANN


@pytest.mark.parametrize("change", ["password", "role", "removal"])
async def test_an_administrators_change_reaches_a_running_server(
    accounts: Accounts, users: Users, pair: TokenPair, change: str
) -> None:
    await users.add("bob", "bob's password", Role.READER)
    bob = await accounts.login("bob", "bob's password")
    for token in (pair.access_token, bob.access_token):
        await accounts.verify(token)
    if change == "password":
        await users.set_password("ann", "another password")
    elif change == "role":
        await users.set_role("ann", Role.READER)
    else:
        await users.remove("ann")
    await accounts.synchronize()
    assert accounts.cached(bob.access_token) is not None
    assert await fails(accounts, pair.access_token)
    with pytest.raises(NotAuthenticated):
        await accounts.refresh(pair.refresh_token)


async def test_a_refresh_on_another_node_is_heard_of(
    accounts: Accounts,
    pair: TokenPair,
    stores: MemoryStores,
    key: SigningKey,
    passwords: Passwords,
    clock: Clock,
) -> None:
    there = Accounts(stores.users, stores.tokens, key=key, passwords=passwords, clock=clock)
    await accounts.verify(pair.access_token)
    new = await there.refresh(pair.refresh_token)
    assert accounts.cached(pair.access_token) == ANN
    await accounts.synchronize()
    assert await fails(accounts, pair.access_token)
    assert await accounts.verify(new.access_token) == ANN


async def test_the_role_is_that_of_the_store_not_that_of_the_token(
    accounts: Accounts, pair: TokenPair, stores: MemoryStores
) -> None:
    claims = claims_of(pair.access_token)
    assert claims["role"] == "contributor"
    stores.users.rows["ann"] = type(stores.users.rows["ann"])(
        name="ann",
        role=Role.READER,
        password_hash=stores.users.rows["ann"].password_hash,
        created=stores.users.rows["ann"].created,
    )
    assert (await accounts.verify(pair.access_token)).role is Role.READER


async def test_failures_make_the_next_attempts_wait_even_with_the_right_password(accounts: Accounts) -> None:
    for _ in range(6):
        with pytest.raises(NotAuthenticated):
            await accounts.login("ann", "wrong password")
    with pytest.raises(TooManyAttempts, match="heard in 1 s") as caught:
        await accounts.login("ann", "ann's password")
    assert caught.value.retry_after == 1


async def test_names_that_do_not_exist_are_locked_out_alike(accounts: Accounts) -> None:
    for _ in range(6):
        with pytest.raises(NotAuthenticated):
            await accounts.login("nobody", "wrong password")
    with pytest.raises(TooManyAttempts):
        await accounts.login("nobody", "wrong password")


async def test_a_burst_of_wrong_passwords_gets_no_more_guesses_than_a_slow_one(accounts: Accounts) -> None:
    tries = [accounts.login("ann", f"wrong password {i}") for i in range(50)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, NotAuthenticated) for result in results) <= 7
    assert sum(isinstance(result, TooManyAttempts) for result in results) >= 43


async def test_many_right_logins_at_once_all_succeed(accounts: Accounts) -> None:
    pairs = await asyncio.gather(*(accounts.login("ann", "ann's password") for _ in range(64)))
    assert len({pair.access_token for pair in pairs}) == 64


async def test_success_forgives_earlier_failures(accounts: Accounts) -> None:
    for _ in range(3):
        for _ in range(5):
            with pytest.raises(NotAuthenticated):
                await accounts.login("ann", "wrong password")
        await accounts.login("ann", "ann's password")


async def test_failures_are_counted_by_address_too(accounts: Accounts) -> None:
    for i in range(21):
        with pytest.raises(NotAuthenticated):
            await accounts.login(f"user{i}", "wrong password", client="192.0.2.1")
    with pytest.raises(TooManyAttempts):
        await accounts.login("ann", "ann's password", client="192.0.2.1")
    await accounts.login("ann", "ann's password", client="192.0.2.2")


async def test_a_hash_of_earlier_parameters_is_renewed_at_login(
    stores: MemoryStores, users: Users, key: SigningKey, clock: Clock
) -> None:
    stronger = Passwords(memory_kib=16, passes=1)
    accounts = Accounts(stores.users, stores.tokens, key=key, passwords=stronger, clock=clock)
    pair = await accounts.login("ann", "ann's password")
    assert "m=16," in stores.users.rows["ann"].password_hash
    await accounts.verify(pair.access_token)
    stronger.close()


async def test_a_login_that_a_new_password_overtakes_fails(
    accounts: Accounts, users: Users, stores: MemoryStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = stores.tokens.start

    async def overtaken(*arguments: Any, **named: Any) -> bool:
        await users.set_password("ann", "another password")
        return await start(*arguments, **named)

    monkeypatch.setattr(stores.tokens, "start", overtaken)
    with pytest.raises(NotAuthenticated):
        await accounts.login("ann", "ann's password")
    assert stores.tokens.rows == {}


async def test_a_verdict_that_a_revocation_overtakes_is_not_kept(
    accounts: Accounts, pair: TokenPair, stores: MemoryStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = stores.tokens.find

    async def overtaken(id: str) -> Any:
        found = await find(id)
        monkeypatch.setattr(stores.tokens, "find", find)
        await accounts.revoke(pair.refresh_token)
        return found

    monkeypatch.setattr(stores.tokens, "find", overtaken)
    await accounts.verify(pair.access_token)
    assert accounts.cached(pair.access_token) is None


async def test_logins_that_the_database_keeps_waiting_keep_no_others_from_their_turn(
    stores: MemoryStores, accounts: Accounts, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    await users.add("ben", "ben's password", Role.READER)
    answered, get = asyncio.Event(), stores.users.get

    async def slow_for_ann(name: str) -> Any:
        if name == "ann":
            await answered.wait()
        return await get(name)

    monkeypatch.setattr(stores.users, "get", slow_for_ann)
    waiting = [asyncio.create_task(accounts.login("ann", "ann's password")) for _ in range(2 + WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="too many logins"):
        await asyncio.gather(*waiting)
    for task in waiting[:2]:
        assert not task.done()
    waiting[5].cancel()
    await asyncio.sleep(0)
    await accounts.login("ben", "ben's password")
    answered.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(result, TokenPair) for result in results) == WAITING - 1
