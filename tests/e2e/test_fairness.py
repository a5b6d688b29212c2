"""Many calls of one user do not keep another's waiting; who fills the queue is refused, and not everyone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import stopping
from tests.e2e.accounts import add_user
from tests.e2e.protocol import refused
from tests.e2e.publishing import publish
from tests.servers import Server, start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ("--pool-initial", "2", "--pool-max", "2", "--queue-length", "20")
    with stopping(start_server(tmp_path_factory.mktemp("fairness"), *flags)) as running:
        yield running


@pytest.fixture(scope="module")
def services(server: Server) -> Iterator[tuple[str, str]]:
    """Paths of a service of 0.4 s, and of one that is quick."""
    with server.client() as admin:
        slow = publish(admin, "slow", "import time; time.sleep(0.4); y = 1", outputs={"y": "numeric"})
        quick = publish(admin, "quick", "y = 1", outputs={"y": "numeric"})
        for path in (slow, quick) * 2:
            assert admin.post(path, json={}).status_code == 200
        yield slow, quick


async def flood(server: Server, caller: httpx.Client, path: str, number: int) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=number)
    async with httpx.AsyncClient(
        base_url=server.url, headers=caller.headers, timeout=60, limits=limits
    ) as client:
        return list(await asyncio.gather(*(client.post(path, json={}) for _ in range(number))))


def test_a_quick_call_does_not_wait_for_the_queue_of_another_users_slow_ones(
    server: Server, services: tuple[str, str]
) -> None:
    slow, quick = services
    with add_user(server, "greedy", "reader") as greedy, add_user(server, "modest", "reader") as modest:
        answers: list[httpx.Response] = []
        flooding = threading.Thread(
            target=lambda: answers.extend(asyncio.run(flood(server, greedy, slow, 20)))
        )
        flooding.start()
        time.sleep(0.5)  # they wait by now, for 4 s in all
        took = []
        for _ in range(5):
            begun = time.perf_counter()
            assert modest.post(quick, json={}).status_code == 200
            took.append(time.perf_counter() - begun)
        flooding.join()
        # Each waits for one of the two runs under way, and for no other.
        assert max(took) < 1.5, took
        assert {answer.status_code for answer in answers} == {200}


def test_who_fills_the_queue_is_refused_with_429_and_others_are_served(
    server: Server, services: tuple[str, str]
) -> None:
    slow, quick = services
    with add_user(server, "flooding", "reader") as flooding, add_user(server, "other", "reader") as other:
        answers: list[httpx.Response] = []
        thread = threading.Thread(
            target=lambda: answers.extend(asyncio.run(flood(server, flooding, slow, 40)))
        )
        thread.start()
        time.sleep(0.5)
        mine = [other.post(quick, json={}).status_code for _ in range(5)]
        thread.join()
        assert mine == [200] * 5
        counts = Counter(answer.status_code for answer in answers)
        assert set(counts) == {200, 429}
        assert counts[429] >= 15
        for answer in answers:
            if answer.status_code == 429:
                assert "yours" in refused(answer, 429)
                assert answer.json()["exceptionType"] == "TooManyCalls"
                assert int(answer.headers["Retry-After"]) >= 1


def test_a_pool_of_256_shells_is_refused_by_the_quota_that_the_message_names(server: Server) -> None:
    with add_user(server, "ann", "contributor") as ann:
        publish(ann, "of-ann", "y = 1", outputs={"y": "numeric"})
        asked = {"InitialPoolSize": 1, "MaxPoolSize": 256}
        answer = ann.post("/services/of-ann/1/pool", json=asked)
        assert "--user-dedicated-shells" in refused(answer, 403)
        assert answer.json()["exceptionType"] == "QuotaExceeded"
        assert ann.get("/services/of-ann/1/pool").json()[0]["Status"] == "NotFound"
