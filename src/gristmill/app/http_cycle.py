"""One request and its answer, as uvicorn has it, but for what happens when the application fails."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gristmill.errors import Draining
from gristmill.web.problems import Problem, at_path, http_problem, problem, respond

__all__ = ["Cycle"]

log = structlog.get_logger("gristmill.web")


def _nothing() -> None:
    """In the place of a callback that is no longer wanted."""


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    async def run_asgi(self, app: Any) -> None:
        """Have the application answer; whatever it raises, the caller gets an answer or sees the end."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            # Cancelled because its caller left, or the server cannot wait any longer.
            await self._fail(problem(Draining("the server cannot finish this call; try again in a moment")))
        except BaseException as error:  # even SystemExit is one request's matter
            log.error("request_failed", method=self.scope["method"], exc_info=error)
            await self._fail(http_problem(500, "something went wrong in the server, and it has been logged"))
        else:
            if not self.response_complete and not self.disconnected:
                log.error("request_not_answered", method=self.scope["method"])
                await self._fail(http_problem(500, "the server has no answer to this; it has been logged"))
        finally:
            self.on_response = _nothing

    async def _fail(self, failure: Problem) -> None:
        if self.disconnected:
            return
        if self.response_started or self.flow.write_paused:
            self.transport.close()
            return
        self.keep_alive = False
        await respond(self.send, at_path(failure, self.scope["path"]))  # type: ignore[arg-type]
