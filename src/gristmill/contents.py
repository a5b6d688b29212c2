"""Opens the contents of services for shells, off the event loop, and again where that failed at first."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog

from gristmill.errors import GristmillError
from gristmill.off_loop import Work, off_loop
from gristmill.ports import StateUnavailable

__all__ = ["Contents"]

log = structlog.get_logger()

#: Pauses before the further tries, seconds.
_PAUSES = (0.05, 0.2, 0.5)
#: A content that could not be read is not tried again for so long, so that calls for it hold up no shell.
_GIVEN_UP_SECONDS = 1.0


class Contents:
    """Gives descriptors of contents. `open_content` opens one by its digest; it may block."""

    def __init__(self, open_content: Callable[[str], int]) -> None:
        self._open_content = open_content
        self._loop = asyncio.get_running_loop()
        self._given_up: dict[str, tuple[float, GristmillError]] = {}  #: by digest: until when, and why

    async def open(self, digest: str) -> int:
        """A read-only descriptor, the caller's to close.

        Raises StateUnavailable when it cannot be read at the moment, and NotFound when there is none.
        """
        until, why = self._given_up.get(digest, (0.0, None))
        if why is not None and self._loop.time() < until:
            raise why.with_traceback(None)
        self._given_up.pop(digest, None)
        try:
            return await self._try(digest)
        except GristmillError as error:
            self._given_up = {
                key: each for key, each in self._given_up.items() if each[0] > self._loop.time()
            }
            self._given_up[digest] = (self._loop.time() + _GIVEN_UP_SECONDS, error)
            raise

    async def _try(self, digest: str) -> int:
        for pause in (*_PAUSES, None):
            try:
                return await self._open(digest)
            except (OSError, StateUnavailable) as error:
                log.warning("content_not_opened", digest=digest, error=str(error), next_try=pause)
                if pause is None:
                    raise StateUnavailable(
                        f"the content of this service cannot be read now ({_why(error)}); try again shortly"
                    ) from error
                await asyncio.sleep(pause)
            except GristmillError:
                raise
            except Exception as error:
                log.exception("content_not_opened", digest=digest)
                raise StateUnavailable(
                    "the content of this service cannot be read; it has been logged"
                ) from error
        raise AssertionError("unreachable")

    async def _open(self, digest: str) -> int:
        """One try; where the caller leaves meanwhile, what was opened is closed."""
        opening = asyncio.ensure_future(off_loop(Work.READ, self._open_content, digest))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise


def _close(opened: asyncio.Future[int]) -> None:
    if not opened.cancelled() and opened.exception() is None:
        os.close(opened.result())


def _why(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
