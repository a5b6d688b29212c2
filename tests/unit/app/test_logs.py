"""The log shows where things failed, never what was in variables; it never fails itself, and is quick."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
import time
from collections.abc import Iterator

import pytest
import structlog

from gristmill.app import logs

SECRET = b"Bearer eyJhbGciOiJFUzI1NiJ9.secret"


@pytest.fixture(params=["text", "json"])
def said(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What a server writes, in either form."""
    stream = io.StringIO()
    handlers, level = logging.root.handlers[:], logging.root.level
    logs.set_up(as_json=request.param == "json", stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def fail(depth: int = 30, **headers: bytes) -> None:
    authorization = headers.get("authorization", b"") * 1000  # a local that shows if locals are shown
    if depth:
        fail(depth - 1, authorization=authorization[:40])
    raise ZeroDivisionError("division by zero")


def test_a_traceback_names_places_and_shows_no_values(said: io.StringIO) -> None:
    log = structlog.get_logger()
    begun = time.perf_counter()
    try:
        fail(authorization=SECRET)
    except ZeroDivisionError:
        log.exception("request_failed", request_id="r-1")
    took = time.perf_counter() - begun
    text = said.getvalue()
    assert "secret" not in text
    assert "eyJ" not in text
    assert "ZeroDivisionError: division by zero" in text
    assert "test_logs.py" in text
    assert "in fail" in text
    assert "r-1" in text
    assert took < 0.5  # the first reads the sources
    begun = time.thread_time()
    for _ in range(10):
        try:
            fail(authorization=SECRET)
        except ZeroDivisionError as error:
            log.error("request_failed", exc_info=error)
    assert (time.thread_time() - begun) / 10 < 0.02


def test_a_traceback_is_bounded_whatever_was_raised(said: io.StringIO) -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError("x" * 1_000_000)

    def chained(left: int) -> None:
        try:
            deep(300)
        except ValueError as error:
            if left:
                chained(left - 1)
            raise RuntimeError("\n".join(["line"] * 10_000)) from error

    try:
        chained(20)
    except RuntimeError:
        structlog.get_logger().exception("request_failed")
    text = said.getvalue()
    assert len(text) < 20_000
    assert "left out" in text
    assert "RuntimeError" in text


def test_what_libraries_log_comes_as_events(said: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").error("Cancel %s running task(s)", 3)
    logging.getLogger("uvicorn.error").info("Started")
    # Not by its logger: pytest's own handler would raise.
    logs._FromLibraries().emit(
        logging.LogRecord("some.library", logging.WARNING, "", 1, "%d of %s", ("few",), None)
    )
    text = said.getvalue()
    assert "Cancel 3 running task(s)" in text
    assert "uvicorn.error" in text
    assert "%d of %s" in text
    assert "Started" not in text


def test_an_error_that_nobody_awaited_is_an_event_without_the_task_s_values(said: io.StringIO) -> None:
    class Holding:
        def __repr__(self) -> str:
            return SECRET.decode()

    async def lost(_: Holding) -> None:
        raise ZeroDivisionError("lost")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(logs.loop_failed)
        task = asyncio.create_task(lost(Holding()), name="a task")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        loop.call_exception_handler({"message": "Fatal error on transport", "protocol": Holding()})

    asyncio.run(main())
    text = said.getvalue()
    assert "loop_error" in text
    assert "ZeroDivisionError: lost" in text
    assert "Fatal error on transport" in text
    assert "secret" not in text


class Failing(io.StringIO):
    broken = True

    def write(self, text: str) -> int:
        if self.broken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_fails_nobody_and_says_so_later() -> None:
    stream = Failing()
    try:
        logs.set_up(as_json=True, stream=stream)
        log = structlog.get_logger()
        log.warning("first")
        log.warning("second")
        stream.broken = False
        log.warning("third")
        stream.close()
        log.warning("fourth")
    finally:
        structlog.reset_defaults()
        logging.basicConfig(handlers=[], force=True)


def test_lines_that_were_lost_are_counted() -> None:
    stream = Failing()
    lasting = logs._Lasting(stream)
    lasting.write("first\n")
    lasting.write("second\n")
    stream.broken = False
    lasting.write("third\n")
    assert stream.getvalue() == "(2 lines of the log could not be written)\nthird\n"


def test_json_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    try:
        logs.set_up(as_json=True, stream=stream)
        structlog.get_logger().info("scored", service="bos-rf", odd=object())
    finally:
        structlog.reset_defaults()
        logging.basicConfig(handlers=[], force=True)
    assert json.loads(stream.getvalue())["service"] == "bos-rf"
