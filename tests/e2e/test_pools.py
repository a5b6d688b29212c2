"""Services with shells of their own."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.publishing import call, publish
from tests.servers import Server

pytestmark = pytest.mark.timeout(90)

WHO = "import os; n = len(os.listdir('/proc')); pid = marker"
INIT = "import uuid; marker = uuid.uuid4().hex"


def until(client: httpx.Client, path: str, status: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while client.get(path).json()[0]["Status"] != status:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_service_gets_shells_of_its_own_and_gives_them_back(admin: httpx.Client) -> None:
    path = publish(admin, "own", WHO, initCode=INIT, outputs={"pid": "character"})
    pool = "/services/own/1/pool"
    assert admin.get(pool).json()[0]["Status"] == "NotFound"
    generic = call(admin, path)["pid"]
    made = admin.post(pool, json={"InitialPoolSize": 1, "MaxPoolSize": 1})
    assert made.status_code == 200
    assert isinstance(made.json(), str)
    until(admin, pool, "Success")
    own = {call(admin, path)["pid"] for _ in range(5)}
    assert len(own) == 1
    assert own != {generic}
    assert "own 1" in admin.get("/status").json()["components"]["backends"]["components"]
    assert admin.delete(pool).status_code == 200
    assert admin.get(pool).json()[0]["Status"] == "NotFound"
    assert call(admin, path)["pid"] not in own


def test_a_change_of_the_service_reaches_its_pool(admin: httpx.Client) -> None:
    path = publish(admin, "changing", "y = 1", outputs={"y": "integer"})
    admin.post("/services/changing/1/pool", json={"InitialPoolSize": 1, "MaxPoolSize": 1})
    until(admin, "/services/changing/1/pool", "Success")
    assert call(admin, path) == {"y": 1}
    assert admin.patch("/services/changing/1", json={"code": "y = 2"}).status_code == 200
    assert call(admin, path) == {"y": 2}
    admin.delete("/services/changing/1/pool")


@pytest.mark.parametrize(
    "size",
    [
        {"InitialPoolSize": -1},
        {"InitialPoolSize": 3, "MaxPoolSize": 2},
        {"InitialPoolSize": "1"},
        {"MaxPoolSize": 100_000},
        [],
    ],
)
def test_sizes_that_cannot_be_are_400(admin: httpx.Client, size: object) -> None:
    if admin.get("/services/sized").json() == []:
        publish(admin, "sized", "y = 1")
    assert admin.post("/services/sized/1/pool", json=size).status_code == 400


def test_a_pool_of_an_unknown_service_is_404(admin: httpx.Client) -> None:
    for ask in (admin.get, admin.delete):
        assert ask("/services/nowhere/1/pool").status_code == 404
    assert admin.post("/services/nowhere/1/pool", json={}).status_code == 404


def test_a_pool_is_there_again_after_a_restart(serve: Callable[..., Server]) -> None:
    server = serve("--pool-initial", "1")
    with server.client() as client:
        path = publish(client, "lasting", "y = 1", outputs={"y": "integer"})
        client.post("/services/lasting/1/pool", json={"InitialPoolSize": 1, "MaxPoolSize": 1})
    server.process.kill()
    server.process.wait()
    with serve("--pool-initial", "1").client() as client:
        until(client, "/services/lasting/1/pool", "Success")
        assert call(client, path) == {"y": 1}
