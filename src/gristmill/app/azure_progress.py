"""Long operations in Azure, followed: a line with a clock on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gristmill.deploy.azure.waiting import Watch

__all__ = ["clock", "watching"]

_EVERY = 30.0  #: seconds between lines, where no line can change


@contextmanager
def watching() -> Iterator[Watch]:
    """What to call with each look at an operation."""
    if sys.stderr.isatty():
        with _one_line() as changing:
            yield changing
        return
    last: dict[str, tuple[str, float]] = {}

    def watch(what: str, state: str, seconds: float) -> None:
        state_before, said = last.get(what, ("", -_EVERY))
        if state != state_before or seconds - said >= _EVERY:
            last[what] = state, seconds
            typer.echo(f"{what}: {state}, {clock(seconds)}", err=True)

    yield watch


@contextmanager
def _one_line() -> Iterator[Watch]:
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.text import Text

    spinner = Spinner("dots")
    live = Live(spinner, console=Console(stderr=True), transient=True, refresh_per_second=8)

    def watch(what: str, state: str, seconds: float) -> None:
        spinner.update(text=Text(f"{what}: {state}, {clock(seconds)}"))
        if state.lower() in {"succeeded", "failed", "canceled"}:
            live.stop()
            if seconds >= 1:
                typer.echo(f"{what}: {state}, {clock(seconds)}", err=True)
        elif not live.is_started:
            live.start(refresh=True)

    try:
        yield watch
    finally:
        live.stop()


def clock(seconds: float) -> str:
    """4:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
