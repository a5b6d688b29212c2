"""Written once, as coroutines: run on an event loop, or to their end at once on the caller's own thread.

The client's coroutines wait for nothing but their `Wire`. Where that one blocks instead of suspending, a
coroutine never pauses, and a single `send` runs it from its first line to its last: no loop, no second
thread, and so no time lost between threads and no trouble with the loop that a notebook runs already.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

if TYPE_CHECKING:
    from typing import Concatenate, ParamSpec

    P = ParamSpec("P")

__all__ = ["blocking", "run"]

T = TypeVar("T")
S = TypeVar("S")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine whose wire blocks."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    raise RuntimeError("a coroutine of a blocking client waited for an event loop")


@overload
def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], T]: ...


@overload
def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]], to: Callable[[T], S], returns: str
) -> Callable[Concatenate[Any, P], S]: ...


def blocking(method: Callable[..., Any], to: Any = None, returns: str = "") -> Callable[..., Any]:
    """The blocking twin of an asynchronous method, for a class that has the asynchronous object as `_inner`.

    Signature and docstring stay; `to` turns the result into its blocking counterpart, called `returns`.
    """

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = run(method(self._inner, *args, **kwargs))
        return result if to is None else to(result)

    if returns:
        signature = inspect.signature(method).replace(return_annotation=returns)
        call.__signature__ = signature  # type: ignore[attr-defined]
    return call
