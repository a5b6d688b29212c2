"""What `/status` and `/health/ready` say of the parts of a node."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gristmill.app.health import Health, Watch
from gristmill.app.storage import Storage
from gristmill.auth.verdicts import LONGEST
from gristmill.background import Background
from gristmill.ports import DatabaseDamaged, StateUnavailable

POOL: dict[str, object] = {"ready": 2, "queued": 0, "shells": 2, "error": None}


class Node:
    """The parts of a node, each to be made ill."""

    def __init__(self) -> None:
        self.pools: dict[str, dict[str, object]] = {"Python": POOL}
        self.own: dict[str, dict[str, object]] = {}
        self.silence = 0.1
        self.damage: DatabaseDamaged | None = None
        self.away = False
        self.trouble = ""
        self.background = Background()
        self.count = 0
        self.summary = "bubblewrap"
        me = cast("Any", self)
        watch = Watch(background=self.background, storage=cast("Storage", _Disks(self)))
        self.health = Health(me, cast("Any", _Dispatcher(self)), me, me, [], watch)

    async def revision(self, *, seconds: float) -> int:
        if self.away:
            raise StateUnavailable("the database does not answer")
        return 1

    async def codes(self) -> dict[str, str]:
        report = await self.health.report()
        parts = {name: part["statusCode"] for name, part in report["components"].items()}
        return {"": report["statusCode"], **parts}


class _Dispatcher:
    def __init__(self, node: Node) -> None:
        self._node = node
        self.dedicated = cast("Any", type("Own", (), {"describe": lambda _: node.own})())

    def describe(self) -> dict[str, dict[str, object]]:
        return self._node.pools

    def describe_realtime(self) -> dict[str, int]:
        return {}


class _Disks:
    def __init__(self, node: Node) -> None:
        self._node = node

    def describe(self) -> dict[str, Any]:
        return {"statusCode": "fail" if self._node.trouble else "pass", "details": {}, "components": {}}

    def trouble(self) -> str:
        return self._node.trouble


ALL_WELL = dict.fromkeys(("", "backends", "database", "storage", "background", "threads"), "pass")


async def test_a_node_is_as_well_as_the_worst_of_its_parts() -> None:
    node = Node()
    assert await node.codes() == ALL_WELL
    node.away = True
    assert await node.codes() == {**ALL_WELL, "": "fail", "database": "fail"}
    node.away, node.trouble = False, "full"
    assert await node.codes() == {**ALL_WELL, "": "fail", "storage": "fail"}


async def test_a_dedicated_pool_that_fails_is_seen_in_the_whole() -> None:
    node = Node()
    node.own = {"bos 1": {**POOL, "ready": 0, "shells": 0, "error": "exit status 1"}}
    assert await node.codes() == {**ALL_WELL, "": "fail", "backends": "fail"}
    report = await node.health.report()
    assert report["components"]["backends"]["components"]["bos 1"]["details"]["error"] == "exit status 1"


@pytest.mark.parametrize("which", ["pools", "own"])
async def test_a_pool_that_is_starting_is_not_failing_yet(which: str) -> None:
    node = Node()
    setattr(node, which, {"Python": {**POOL, "ready": 0}})
    assert await node.codes() == {**ALL_WELL, "": "warn", "backends": "warn"}


async def test_a_pool_some_of_whose_shells_do_not_start_is_a_warning() -> None:
    node = Node()
    node.pools = {"Python": {**POOL, "ready": 1, "error": "exit status 1"}}
    assert await node.codes() == {**ALL_WELL, "": "warn", "backends": "warn"}


async def test_background_work_that_fails_is_seen_by_its_name() -> None:
    node = Node()
    failed = asyncio.Event()

    async def work() -> None:
        failed.set()
        raise RuntimeError("no")

    node.background.repeat("refresh", work, every=1, at_once=True)
    await failed.wait()
    await asyncio.sleep(0)
    assert await node.codes() == {**ALL_WELL, "": "warn", "background": "warn"}
    part = (await node.health.report())["components"]["background"]["components"]["refresh"]
    assert part["details"]["error"] == "RuntimeError('no')"
    await node.background.close()


async def test_damage_that_was_found_is_told_although_the_database_answers() -> None:
    node = Node()
    node.damage = DatabaseDamaged("the file is damaged")
    assert (await node.codes())["database"] == "fail"
    assert node.health.readiness() == ("warn", "the file is damaged")


async def test_a_node_whose_database_is_away_is_ready_as_long_as_it_knows_callers() -> None:
    node = Node()
    assert node.health.readiness() == ("pass", "")
    node.silence = 8.0
    assert node.health.readiness() == (
        "warn",
        "the database has not answered for 8 s: only known callers are served",
    )
    node.silence = LONGEST
    assert node.health.readiness() == (
        "fail",
        "the database has not answered for 300 s, and no caller is known any more",
    )


async def test_a_full_disk_is_seen_in_readiness() -> None:
    node = Node()
    node.trouble = "the disk of /data is full"
    assert node.health.readiness() == ("warn", "the disk of /data is full")
