"""Services that are published, changed and deleted while they are called: every answer is a right one."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter

import httpx
import pytest

from tests.e2e.protocol import BOTH, accepted, refused
from tests.e2e.publishing import parameters
from tests.e2e.remote import Remote
from tests.servers import Server

pytestmark = pytest.mark.timeout(120)

SECONDS = 3.0
CALLERS = 16
CODE = {
    "Python": ("y = x + value", "y = x + value + 100"),
    "R": ("y <- x + value", "y <- x + value + 100"),
}


async def test_of_many_publishes_of_one_name_one_wins(server: Server, admin: httpx.Client) -> None:
    path = f"/services/same-{uuid.uuid4().hex[:8]}/1"
    async with httpx.AsyncClient(base_url=server.url, headers=admin.headers, timeout=60) as clients:
        bodies = [{"code": f"y = {n}", "runtimeType": "Python"} for n in range(16)]
        answers = await asyncio.gather(*(clients.post(path, json=body) for body in bodies))
        (found,) = accepted(await clients.get(path), "services")
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 15
    (winner,) = (n for n, answer in enumerate(answers) if answer.status_code == 201)
    assert found["code"] == f"y = {winner}"
    for answer in answers:
        if answer.status_code == 409:
            refused(answer, 409)


class Storm:
    """Callers and one who changes, on one service, for a while."""

    def __init__(self, client: httpx.AsyncClient, runtime: str, snapshot: str) -> None:
        self._client = client
        self._name = f"storm-{uuid.uuid4().hex[:8]}"
        self._first, self._second = CODE[runtime]
        self._body = {
            "code": self._first,
            "runtimeType": runtime,
            "snapshotId": snapshot,
            "inputParameterDefinitions": parameters(x="vector"),
            "outputParameterDefinitions": parameters(y="vector"),
        }
        self._until = asyncio.get_running_loop().time() + SECONDS
        self.statuses: Counter[int] = Counter()
        self.changes: Counter[int] = Counter()

    @property
    def _over(self) -> bool:
        """The time is up, and the service was published anew at least once however slow that was."""
        return asyncio.get_running_loop().time() > self._until and self.changes[201] > 1

    async def call(self, number: int) -> None:
        """Call until the time is up; a call finds the service as it is before or after a change, or not."""
        for n in itertools.count(number * 1_000_000):
            if self._over:
                return
            answer = await self._client.post(f"/api/{self._name}/1", json={"x": [n]})
            self.statuses[answer.status_code] += 1
            if answer.status_code == 404:
                refused(answer, 404)
            else:
                result = accepted(answer, "result")
                assert result["success"], result["errorMessage"]
                assert result["outputParameters"]["y"] in ([n + 7], [n + 107])

    async def change(self) -> None:
        """Publish, make batchable, change the code, and delete, again and again."""
        path = f"/services/{self._name}/1"
        while not self._over:
            for method, status, body in (
                ("POST", 201, self._body),
                ("PATCH", 200, {"batchable": True}),
                ("PATCH", 200, {"code": self._second}),
                ("PATCH", 200, {"code": self._first, "batchable": False}),
                ("DELETE", 200, None),
            ):
                answer = await self._client.request(method, path, json=body)
                accepted(answer, "text", status)
                self.changes[status] += 1
                await asyncio.sleep(0.05)


@BOTH
async def test_calls_meet_a_service_as_it_was_or_as_it_is(
    server: Server, admin: httpx.Client, runtime: str
) -> None:
    session = Remote(admin, runtime)
    session.run("value = 7", "value <- 7")
    snapshot = session.snapshot()
    session.close()
    async with httpx.AsyncClient(base_url=server.url, headers=admin.headers, timeout=60) as clients:
        storm = Storm(clients, runtime, snapshot)
        await asyncio.gather(storm.change(), *(storm.call(number) for number in range(CALLERS)))
    assert set(storm.statuses) == {200, 404}
    assert storm.statuses[200] > 20
    assert storm.changes[201] > 1
