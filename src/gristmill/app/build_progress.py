"""A builder's work, followed: a line that counts the steps on a terminal, elsewhere its own lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

__all__ = ["following_lines", "following_steps"]


@contextmanager
def following_steps(name: str, *, verbose: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """What to call with each line of a build."""
    if verbose or not sys.stderr.isatty():
        yield lambda _step, _of, line: typer.echo(line, err=True)
        return
    with _one_line(name) as show:

        def step(number: int, of: int, line: str) -> None:
            show(number, of, line)

        yield step


@contextmanager
def following_lines(name: str) -> Iterator[Callable[[str], None]]:
    """What to call with each line of a push."""
    with following_steps(name) as step:
        yield lambda line: step(0, 0, line)


@contextmanager
def _one_line(name: str) -> Iterator[Callable[[int, int, str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column
    from rich.text import Text

    class Line(TextColumn):
        """The builder's last line, cut to what is left of the row."""

        def render(self, task: object) -> Text:
            return Text(getattr(task, "fields", {}).get("line", ""), style="dim")

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        TimeElapsedColumn(),
        Line("", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as progress:
        task = progress.add_task(name, total=None, line="")

        def show(number: int, of: int, line: str) -> None:
            if of:
                described = f"{name}: step {number}/{of}"
                progress.update(task, description=described, completed=number - 1, total=of, line=line)
            else:
                progress.update(task, line=line)

        yield show
