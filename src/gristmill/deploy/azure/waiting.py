"""Long operations: Azure begins, and is asked how far it is until it has finished or given up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gristmill.deploy.azure.answers import translated
from gristmill.deploy.azure.connection import Patience
from gristmill.deploy.azure.errors import OperationFailed, TookTooLong, WaitInterrupted

if TYPE_CHECKING:
    from azure.core.polling import LROPoller

__all__ = ["Watch", "finish", "settle", "unseen"]

T = TypeVar("T")
_FINAL = ("succeeded", "failed", "canceled", "cancelled")


class Watch(Protocol):
    """Sees how an operation goes: what it is, Azure's word for its state, seconds since it began."""

    def __call__(self, what: str, state: str, seconds: float) -> None:
        """About once a second."""


def unseen(what: str, state: str, seconds: float) -> None:
    """Nobody watches."""


def finish(
    begin: Callable[[], LROPoller[T]], what: str, *, again: str, patience: Patience, watch: Watch
) -> T:
    """Begin an operation and wait for its end.

    `again` is the command, or call, that takes it up where it is, for whoever presses Ctrl-C. The loop is
    the SDK's, in a thread of its own; waiting here in short turns is what lets Ctrl-C and the watch in.
    """
    started = time.monotonic()
    with translated(what):
        poller = begin()
        try:
            watch(what, poller.status(), 0.0)
            while not poller.done():
                poller.wait(min(1.0, patience.between))
                seconds = time.monotonic() - started
                watch(what, poller.status(), seconds)
                if seconds > patience.whole and not poller.done():
                    raise TookTooLong(f"{what}: not finished after {seconds:.0f} s. {_goes_on(again)}")
            return poller.result()
        except KeyboardInterrupt:
            raise WaitInterrupted(f"{what}: stopped waiting. {_goes_on(again)}") from None


def settle(
    look: Callable[[], dict[str, Any]],
    what: str,
    *,
    again: str,
    patience: Patience,
    watch: Watch,
    sleep: Callable[[float], None],
) -> dict[str, Any]:
    """Wait until something that somebody else has begun to make or change is settled; what it is then."""
    started = time.monotonic()
    try:
        while True:
            found = look()
            state = str((found.get("properties") or {}).get("provisioningState") or "Succeeded")
            seconds = time.monotonic() - started
            watch(what, state, seconds)
            if state.lower() in _FINAL:
                if state.lower() != "succeeded":
                    way = "Delete it and create it again, or look in the portal for what went wrong"
                    raise OperationFailed(f"{what}: Azure made it, and it is {state}. {way}")
                return found
            if seconds > patience.whole:
                raise TookTooLong(f"{what}: still {state} after {seconds:.0f} s. {_goes_on(again)}")
            sleep(patience.between)
    except KeyboardInterrupt:
        raise WaitInterrupted(f"{what}: stopped waiting. {_goes_on(again)}") from None


def _goes_on(again: str) -> str:
    return f"Azure goes on with it by itself; this takes it up where it is then: {again}"
