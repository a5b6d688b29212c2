"""`gristmill batch`."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from gristmill.app.client_cli_common import Exit, ServiceName, Url, Version, connected, fail, note, told

if TYPE_CHECKING:
    from gristmill.client import Batch, Result, Service

__all__ = ["batch"]

#: What `batch` ends with when it was interrupted, as shells have it: 128 and the number of SIGINT.
_INTERRUPTED = 130
Seen = Callable[[int, int], None]


@told
def batch(  # noqa: PLR0917 - the flags of the command, all of them by name
    name: ServiceName,
    version: Version,
    file: Annotated[
        str, typer.Option("--input", "-i", metavar="FILE", help="Rows, as .csv, .tsv, .json or .parquet.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="For the outputs: .csv, .tsv, .json or .parquet."
        ),
    ],
    by_rows: Annotated[
        int, typer.Option("--by-rows", metavar="ROWS", min=1, help="Rows that make one item of the batch.")
    ] = 1000,
    parallel: Annotated[
        int, typer.Option("--parallel", metavar="N", min=1, help="Items that run at a time.")
    ] = 10,
    with_inputs: Annotated[
        bool, typer.Option("--with-inputs", help="Write the input's columns too, before the outputs.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel the batch that was interrupted, and write nothing.")
    ] = False,
    url: Url = None,
) -> None:
    """Score a file of rows in the background of a server, and write what comes back.

    A service that takes one frame gets the rows in pieces; one that takes scalars gets them one by one. After
    Ctrl-C, or when the connection breaks, the server goes on: the same command picks its results up. Rows
    whose piece failed are empty in the output, with the reason in a column called error, and the status is 6.

    [dim]Examples:[/dim]

      gristmill batch bos-rf 1.0.0 --input rows.csv --output scored.parquet

      gristmill batch bos-rf 1.0.0 -i rows.parquet -o scored.csv --by-rows 5000 --parallel 4
    """
    from gristmill.app.client_cli_inputs import read_table, write_outputs

    columns = read_table(file)
    note_of = output.with_name(output.name + ".batch")
    with connected(url) as client:
        service = client.service(name, version)
        key = _key(client.url, service, columns, by_rows)
        running = _found(service, note_of, key)
        if cancel:
            _cancel(running, note_of)
            return
        with _interruptible(note_of) as check:
            if running is None:
                running = service.batch(columns, parallel_count=parallel, rows=by_rows).start()
                note_of.write_text(json.dumps({"id": running.id, "key": key}), "utf-8")
            results = _gather(running, check)
    table, failures = _table(service, columns, results, by_rows)
    if with_inputs and all(len(column) == _count(columns) for column in table.values()):
        table = {**columns, **table}
    write_outputs(output, table)
    note_of.unlink()
    note(f"wrote {output}")
    if failures:
        fail(f"{failures} of {len(results)} items failed; the column error says why", Exit.CODE_FAILED)


def _key(url: str, service: Service, columns: dict[str, list[Any]], by_rows: int) -> str:
    """What tells whether an interrupted batch is the one that is asked for now."""
    about = [url, service.name, service.version, service.details.created, by_rows]
    text = json.dumps([about, columns], default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _found(service: Service, note_of: Path, key: str) -> Optional[Batch]:
    """The interrupted batch of the same rows, if the server still has it."""
    from gristmill.client.errors import NotFound

    try:
        noted = json.loads(note_of.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if noted.get("key") != key:
        return None
    found = service.get_batch(noted["id"])
    try:
        done = found.state().completed
    except NotFound:
        return None
    note(f"going on with the batch {found.id}, of which {done} items are done")
    return found


def _cancel(running: Optional[Batch], note_of: Path) -> None:
    if running is None:
        fail("there is no interrupted batch of these rows", Exit.NOT_FOUND)
    running.cancel()
    note_of.unlink()
    note(f"cancelled {running.id}")


@contextmanager
def _interruptible(note_of: Path) -> Iterator[Callable[[], None]]:
    """Ends the command on Ctrl-C, and tells how to go on; call what it yields now and then.

    Python drops an exception that a signal raises within a destructor or a callback of the collector, so the
    signal is remembered beside it.
    """
    came = threading.Event()

    def interrupted(*_: object) -> None:
        came.set()
        raise KeyboardInterrupt

    def check() -> None:
        if came.is_set():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield check
        check()
    except KeyboardInterrupt:
        if note_of.exists():
            note("\nThe server goes on with it. The same command picks the results up; --cancel ends it.")
        else:
            note("\nInterrupted before the server had all of it; nothing was started.")
        raise typer.Exit(_INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, before)


def _gather(running: Batch, check: Callable[[], None]) -> list[Result]:
    """All results in the order of the items, with a bar meanwhile."""
    results = []
    total = running.state().total
    with _bar() as seen:
        for result in running:
            check()
            results.append(result)
            seen(len(results), total)
    return sorted(results, key=lambda result: result.index or 0)


@contextmanager
def _bar() -> Iterator[Seen]:
    """A callback that draws how far it is, and how fast; lines now and then where no terminal is."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, rate="")
        begun = time.monotonic()

        def seen(done: int, total: int) -> None:
            rate = done / max(1e-6, time.monotonic() - begun)
            progress.update(task, completed=done, total=total, rate=f"{rate:,.0f} items/s")

        yield seen


def _lines() -> Seen:
    begun = last = time.monotonic()

    def seen(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 5 or done == total:
            last = now
            note(f"{done} of {total} items, {done / max(1e-6, now - begun):,.0f} a second")

    return seen


def _table(
    service: Service, columns: dict[str, list[Any]], results: list[Result], by_rows: int
) -> tuple[dict[str, list[Any]], int]:
    """All outputs as columns, one item below the other; and how many items failed."""
    from gristmill.schema import ParameterType

    framed = [each.type for each in service.inputs] == [ParameterType.DATA_FRAME]
    size, count = (by_rows if framed else 1), _count(columns)
    pieces = [_piece(result, min(size, count - size * i)) for i, result in enumerate(results)]
    names = list(dict.fromkeys(name for piece, _ in pieces for name in piece if name))
    failures = sum(not result.success for result in results)
    if failures:
        names = [*(name for name in names if name != "error"), "error"]
    table: dict[str, list[Any]] = {name: [] for name in names}
    for piece, rows in pieces:
        for name in names:
            table[name] += piece.get(name) or [None] * rows
    return table, failures


def _piece(result: Result, rows: int) -> tuple[dict[str, list[Any]], int]:
    """The outputs of one item as columns, and how many rows they are; `rows` went in."""
    if not result.success:
        return {"error": [(result.error or "").strip().splitlines()[0]] * rows}, rows
    piece: dict[str, list[Any]] = {}
    for name, value in result.raw["outputParameters"].items():
        if isinstance(value, dict):
            piece.update(value)
        else:
            piece[name] = value if isinstance(value, list) and value != [] else [value]
    longest = max(map(len, piece.values()), default=0)
    return {name: cells * longest if len(cells) == 1 else cells for name, cells in piece.items()}, longest


def _count(columns: dict[str, list[Any]]) -> int:
    return max(map(len, columns.values()), default=0)
