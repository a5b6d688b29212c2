"""The end of a node: what hangs is named and left, and all else is closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from gristmill.app.server import _close
from gristmill.testing_clock import run_jumping


def test_a_part_that_hangs_is_named_and_left_and_the_others_are_closed() -> None:
    closed: list[str] = []

    async def hang() -> None:
        await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def node() -> AsyncIterator[Any]:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(closed.append, "database")
            stack.push_async_callback(hang)
            stack.callback(closed.append, "shells")
            yield

    async def main() -> float:
        opening = node()
        await opening.__aenter__()
        await _close(opening, 10.0)
        return asyncio.get_running_loop().time()

    with structlog.testing.capture_logs() as events:
        run_jumping(main())
    assert closed == ["shells", "database"]
    (event,) = events
    assert event["event"] == "closing_hangs"
    assert "locks.py" in event["waits_for"]  # where an Event waits, and not where the node closes


def test_an_error_while_closing_is_raised() -> None:
    @contextlib.asynccontextmanager
    async def node() -> AsyncIterator[Any]:
        yield
        raise ZeroDivisionError

    async def main() -> None:
        opening = node()
        await opening.__aenter__()
        await _close(opening, 10.0)

    with pytest.raises(ZeroDivisionError):
        run_jumping(main())
