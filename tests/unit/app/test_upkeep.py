"""The work that keeps a node's copies of the state fresh: each piece by itself, none ended by an error."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from typing import Any, cast

from gristmill.app import state
from gristmill.app.state import State
from gristmill.background import Background
from gristmill.ports import StateUnavailable
from gristmill.testing_clock import run_jumping


class Stored:
    """Counts what is asked of it; what is `away` fails, with an error of any class."""

    def __init__(self) -> None:
        self.asked = {"services": 0, "logins": 0, "contents": 0, "families": 0}
        self.away: dict[str, Exception] = {}
        self.registry = self.accounts = self.blobs = self.database = cast("Any", self)
        self.references = None

    async def _ask(self, what: str) -> int:
        self.asked[what] += 1
        if what in self.away:
            raise self.away[what]
        return 0

    async def refresh(self) -> None:
        await self._ask("services")

    async def synchronize(self) -> None:
        await self._ask("logins")

    async def sweep(self, references: object, *, grace: float) -> int:
        return await self._ask("contents")

    async def purge(self) -> int:
        return await self._ask("families")


def test_what_fails_is_tried_again_and_keeps_nothing_else_from_its_turn() -> None:
    async def story() -> None:
        stored, background = Stored(), Background()
        stored.away["services"] = StateUnavailable("away")
        stored.away["contents"] = OSError(errno.ESTALE, "Stale file handle")
        async with contextlib.AsyncExitStack() as stack:
            state.start_upkeep(cast("State", stored), background, stack)
            await asyncio.sleep(7300.5)
            assert 7100 < stored.asked["logins"] <= 7300
            assert 700 < stored.asked["services"] < 800  # each 10 s: it backs off
            assert stored.asked["contents"] == stored.asked["families"] == 2
            seen = background.describe()
            assert {name: part["statusCode"] for name, part in seen.items()} == {
                "refresh services": "fail",
                "refresh logins": "pass",
                "sweep contents": "warn",
                "sweep logins": "pass",
            }
            stored.away.clear()
            await asyncio.sleep(3610)
            codes = {part["statusCode"] for part in background.describe().values()}
            assert codes == {"pass"}
        before = dict(stored.asked)
        await asyncio.sleep(7300)
        assert stored.asked == before
        await background.close()

    run_jumping(story())


def test_one_piece_of_work_goes_on_after_any_error() -> None:
    async def story() -> None:
        calls: list[int] = []

        async def work(_: object) -> None:
            calls.append(1)
            if len(calls) == 1:
                raise OSError(errno.ESTALE, "Stale file handle")

        task = asyncio.create_task(state._repeat("refresh", 1.0, work, cast("State", None)))
        await asyncio.sleep(60)
        assert len(calls) > 50
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(asyncio.all_tasks()) == 1

    run_jumping(story())
