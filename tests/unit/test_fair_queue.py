"""Users take turns by what their calls cost; a full queue refuses those who filled it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.call_queue import CallQueue, has_left
from gristmill.calls import Request
from gristmill.errors import Overloaded, TooManyCalls
from gristmill.fair_queue import FairQueue
from tests.unit.test_pool import call, service

SLOW, QUICK = service("slow"), service("quick")


def of(user: str, service: object = QUICK, body: bytes = b"{}") -> Request:
    request = call(service, body)  # type: ignore[arg-type]
    request.user = user
    return request


def cost(request: Request) -> float:
    return 0.4 if request.service is SLOW else 0.003


def fair(**bounds: int) -> CallQueue:
    return CallQueue(cost=cost, **{"most": 1000, "most_bytes": 1 << 30, **bounds}, name="Python")


def served(queue: FairQueue, most: int = 10_000) -> list[str]:
    order: list[str] = []
    while len(order) < most and queue.next() is not None:
        order.append(queue.pop().user)
    return order


async def test_quick_calls_do_not_wait_for_a_queue_of_another_users_slow_ones() -> None:
    queue = fair()
    for _ in range(24):
        queue.push(of("slow", SLOW))
    queue.pop()  # one of them runs
    queue.push(of("quick"))
    assert queue.next() is not None
    assert served(queue, 1) == ["quick"]


async def test_users_get_the_same_time_of_shells_and_not_the_same_number_of_calls() -> None:
    queue = fair()
    for _ in range(10):
        queue.push(of("slow", SLOW))
    for _ in range(400):
        queue.push(of("quick"))
    first = Counter(served(queue, 300))
    # 0.4 s of a shell for each of them are one slow call, or 133 quick ones.
    assert first["quick"] > 290
    assert 2 <= first["slow"] <= 4


async def test_services_of_one_user_take_turns() -> None:
    queue = fair()
    for _ in range(10):
        queue.push(of("app", SLOW))
    queue.push(of("app", QUICK))
    queue.pop()
    following = queue.next()
    assert following is not None
    assert following.service is QUICK


async def test_who_was_idle_has_no_credit_from_before() -> None:
    queue = fair()
    for _ in range(200):
        queue.push(of("busy"))
        queue.pop()
    for _ in range(10):
        queue.push(of("busy"))
        queue.push(of("back"))
    assert Counter(served(queue, 10)) == {"busy": 5, "back": 5}


async def test_calls_of_one_service_keep_their_order() -> None:
    queue = fair()
    sent = [of("a", body=b"%d" % n) for n in range(5)]
    for request in sent:
        queue.push(request)
    assert [queue.pop() for _ in range(5)] == sent


async def test_what_is_put_back_goes_before_all_others() -> None:
    queue = fair()
    queue.push(of("a"))
    queue.push_back(of("b"))
    assert served(queue) == ["b", "a"]


async def test_who_has_filled_the_queue_is_refused_and_others_are_not() -> None:
    queue = fair(most=10)
    filling = [of("greedy") for _ in range(10)]
    for request in filling:
        queue.push(request)
    with pytest.raises(TooManyCalls, match="most of them yours") as refused:
        queue.push(of("greedy"))
    assert refused.value.retry_after
    queue.push(of("modest"))
    assert len(queue) == 10
    assert isinstance(filling[-1].future.exception(), TooManyCalls)
    assert not any(request.future.done() for request in filling[:-1])


async def test_where_nobody_has_more_than_his_share_the_newcomer_waits_outside() -> None:
    queue = fair(most=4)
    for user in "abcd":
        queue.push(of(user))
    with pytest.raises(Overloaded) as refused:
        queue.push(of("e"))
    assert not isinstance(refused.value, TooManyCalls)


async def test_a_queue_is_full_of_bytes_too_and_the_heaviest_yields() -> None:
    queue = fair(most_bytes=1000)
    heavy = [of("heavy", body=b"x" * 400) for _ in range(2)]
    for request in heavy:
        queue.push(request)
    with pytest.raises(TooManyCalls):
        queue.push(of("heavy", body=b"x" * 300))
    queue.push(of("light", body=b"x" * 300))
    assert queue.bytes == 700
    assert heavy[1].future.done()


async def test_one_body_over_the_bytes_waits_where_nothing_else_does() -> None:
    queue = fair(most_bytes=10)
    queue.push(of("a", body=b"x" * 100))
    assert len(queue) == 1


async def test_whose_caller_has_left_makes_room_before_anybody_is_refused() -> None:
    queue = fair(most=3)
    gone = [of("a") for _ in range(3)]
    for request in gone:
        queue.push(request)
    gone[1].future.cancel()
    queue.push(of("a"))
    assert len(queue) == 3
    assert gone[1] not in list(queue)


async def test_ten_thousand_users_are_not_remembered_for_ever() -> None:
    queue = fair()
    for n in range(10_000):
        queue.push(of(f"user {n}"))
        queue.pop()
    assert len(queue._users) < 1000


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["push", "pop", "back", "leave", "sweep"]), st.integers(0, 3), st.integers(0, 2)
        ),
        max_size=80,
    )
)
def test_whatever_happens_nothing_is_lost_and_the_counts_are_right(
    events: list[tuple[str, int, int]],
) -> None:
    asyncio.run(_play(events))


async def _play(events: list[tuple[str, int, int]]) -> None:
    queue, services = fair(), [SLOW, QUICK, service("third")]
    inside: list[Request] = []
    for event, user, which in events:
        request = of(str(user), services[which], b"x" * (which + 1))
        if event == "push":
            queue.push(request)
            inside.append(request)
        elif event == "back":
            queue.push_back(request)
            inside.append(request)
        elif event == "leave" and inside:
            inside[which % len(inside)].future.cancel()
        elif event == "sweep":
            assert all(r.future.done() for r in queue.remove(has_left))
            assert not any(r.future.done() for r in queue)
        elif event == "pop" and (shown := queue.next()) is not None:
            assert queue.pop() is shown
            assert not shown.future.done()
            inside.remove(shown)
        assert queue.bytes == sum(len(r.body) for r in queue)
        assert len(queue) == len(list(queue))
    left = {id(r) for r in inside if not r.future.done()}
    assert {id(r) for r in queue.clear() if not r.future.done()} == left
    assert (len(queue), queue.bytes) == (0, 0)
