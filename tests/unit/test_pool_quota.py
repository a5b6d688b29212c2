"""Dedicated shells are bounded on a node and for each user."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gristmill.errors import QuotaExceeded
from gristmill.pool_quota import PoolQuota
from gristmill.services import PoolSize, ServiceVersion
from tests.unit.test_pool import service

QUOTA = PoolQuota(node=10, user=6)


def of(owner: str, name: str, shells: int = 0) -> ServiceVersion:
    return replace(service(name), owner=owner, pool=PoolSize(initial=1, maximum=shells) if shells else None)


def test_a_pool_within_both_quotas_is_let_pass() -> None:
    QUOTA.check([of("ann", "a", 2), of("bob", "b", 4)], of("ann", "c"), PoolSize(initial=1, maximum=4))


def test_a_user_has_a_quota_of_his_own_and_the_error_says_how_to_go_on() -> None:
    with pytest.raises(
        QuotaExceeded, match=r"services of ann may have 6 .* 3 are taken: 4 more .*--user-dedicated"
    ):
        QUOTA.check([of("ann", "a", 3)], of("ann", "c"), PoolSize(initial=1, maximum=4))


def test_all_users_share_the_quota_of_the_node() -> None:
    others = [of("ann", "a", 4), of("bob", "b", 4)]
    with pytest.raises(QuotaExceeded, match=r"each node has 10 .* 8 are taken: 3 more .*--dedicated-shells"):
        QUOTA.check(others, of("eve", "c"), PoolSize(initial=1, maximum=3))


def test_a_pool_that_is_changed_is_not_counted_twice() -> None:
    QUOTA.check([of("ann", "a", 6)], of("ann", "a", 6), PoolSize(initial=1, maximum=5))
