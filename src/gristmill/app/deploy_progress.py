"""A rollout, followed: a table that changes in place on a terminal, elsewhere a line for each change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from gristmill.deploy.kubernetes.rollout import Rollout

__all__ = ["following"]

Following = tuple[Callable[["Rollout"], None], Callable[[str], None]]


@contextmanager
def following(name: str) -> Iterator[Following]:
    """What to call with each look at the rollout, and with each step."""
    if sys.stderr.isatty():
        with _table(name) as both:
            yield both
        return
    last: list[str] = []

    def say(text: str) -> None:
        typer.echo(f"{name}: {text}", err=True)

    def watch(rollout: Rollout) -> None:
        if last != [rollout.told]:
            last[:] = [rollout.told]
            say(rollout.told)

    yield watch, say


@contextmanager
def _table(name: str) -> Iterator[Following]:
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    console = Console(stderr=True)
    with Live(Spinner("dots", name), console=console, transient=True, refresh_per_second=8) as live:

        def say(text: str) -> None:
            console.print(f"{name}: {text}", style="dim", markup=False, highlight=False)

        def watch(rollout: Rollout) -> None:
            live.update(_drawn(name, rollout))

        yield watch, say


def _drawn(name: str, rollout: Rollout) -> Any:
    from rich.console import Group
    from rich.spinner import Spinner
    from rich.table import Table
    from rich.text import Text

    head = f"{name}: {rollout.ready} of {rollout.wanted} ready"
    if rollout.old:
        head += f", {rollout.old} of the revision before to go"
    table = Table(box=None, show_header=False, pad_edge=False)
    for pod in rollout.pods:
        colour = "green" if pod.ready else "red" if pod.trouble else "yellow"
        restarts = f"{pod.restarts} restarts" if pod.restarts else ""
        table.add_row(
            Text(f"  {pod.name}"), Text(pod.phase, style=colour), Text(restarts), Text(pod.trouble or "")
        )
    return Group(Spinner("dots", Text(head)), table)
