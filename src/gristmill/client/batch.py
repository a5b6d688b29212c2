"""Batches: many inputs handed over at once, run by the server on its own time, their results as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from gristmill.client.batch_items import items_of
from gristmill.client.connection import JSON, Connection, path_of
from gristmill.client.description import Description
from gristmill.client.driving import blocking, run
from gristmill.client.errors import BatchFailed, InvalidInput, NotFound, UnexpectedAnswer
from gristmill.client.result import Result, result_of_call
from gristmill.client.wire import Progress, Request

__all__ = ["AsyncBatch", "Batch", "BatchProgress", "batch_ids", "new_batch"]

_ENDED = frozenset({"Complete", "Failed", "Cancelled"})
#: The server is asked to wait so long for results that are not there yet.
_PATIENCE = "20"


class BatchProgress(NamedTuple):
    """How far a batch is."""

    state: str  #: Pending, Ready, InProgress, Complete, Failed or Cancelled
    completed: int  #: items that have a result
    failed: int  #: those of them whose code or input was wrong
    total: int
    message: str  #: why the state is Failed

    @property
    def ended(self) -> bool:
        """Whether no more results will come."""
        return self.state in _ENDED


class AsyncBatch:
    """A batch of a service; its methods are awaited, and `async for` gives results as they arrive.

    `start` hands it over; results, and iterating, do so too if it has not been done.
    """

    def __init__(
        self,
        connection: Connection,
        description: Description,
        *,
        items: bytes | None = None,
        parallel_count: int = 10,
        id: str | None = None,
    ) -> None:
        self._connection = connection
        self._description = description
        self._items = items
        self._parallel = parallel_count
        self.id = id  #: what the server calls it; None before it was started

    async def start(self, progress: Progress | None = None) -> AsyncBatch:
        """Hand the items over; on return the server keeps them, whatever happens to either side.

        `progress` is told how many bytes were sent, of how many. Raises InvalidInput, TooLarge.
        """
        if self.id is None:
            about, params = self._description, {"parallelCount": str(self._parallel)}
            sent = Request("POST", f"{about.path}/batch", JSON, self._items, params, None, progress)
            answer = self._connection.parsed(await self._connection.send(sent, service=about.label))
            try:
                self.id = str(answer["batchExecutionId"])
            except (KeyError, TypeError):
                raise UnexpectedAnswer(f"{about.label}: the answer names no batch") from None
            self._items = None
        return self

    async def state(self) -> BatchProgress:
        """How far it is now."""
        return _progress(await self._ask("results", {"limit": "1"}))

    async def wait(self) -> BatchProgress:
        """How it ended, once it has."""
        now = await self.state()
        while not now.ended:
            after = {"after": str(now.completed), "limit": "1", "wait": _PATIENCE}
            now = _progress(await self._ask("results", after))
        return now

    async def results(self, *, partial: bool = False) -> list[Result]:
        """All results in the order of the inputs, once the batch has ended; each has its `index`.

        With `partial`, those that are there now. An item that failed is a Result that says so. Raises
        BatchFailed if the server could not run the batch to its end.
        """
        await self.start()
        if not partial:
            end = await self.wait()
            if end.state != "Complete":
                raise BatchFailed(f"{self._label}: {end.message or end.state}")
        raw = await self.status(partial=partial)
        return [self._result(each) for each in raw["batchExecutionResults"]]

    async def status(self, *, partial: bool = False) -> dict[str, Any]:
        """The server's own JSON of it, with the results there are if it has ended, or with `partial`."""
        found: dict[str, Any] = await self._ask("", {"showPartialResults": "true"} if partial else None)
        return found

    async def arrivals(self, after: int = 0) -> tuple[list[Result], BatchProgress]:
        """Results that came in after the first `after` ones; waits some seconds if there are none yet."""
        await self.start()
        raw = await self._ask("results", {"after": str(after), "wait": _PATIENCE})
        return [self._result(each) for each in raw["batchExecutionResults"]], _progress(raw)

    async def __aiter__(self) -> AsyncIterator[Result]:
        seen = 0
        while True:
            results, now = await self.arrivals(seen)
            for result in results:
                yield result
            seen += len(results)
            if _is_over(self._label, results, now):
                return

    async def cancel(self) -> None:
        """Stop it, and delete it with all its results."""
        await self._send("DELETE", "")

    async def list_artifacts(self, index: int) -> list[str]:
        """Names of the files that an item wrote; raises NotFound while it has no result."""
        return list(await self._ask(f"{index}/files"))

    async def artifact(self, index: int, name: str) -> bytes:
        """Content of one of these files."""
        parts = PurePosixPath(name).parts
        content: bytes = (await self._send("GET", f"{index}/files{path_of(*parts)}")).content
        return content

    async def download(self, index: int, name: str | None = None, to: str | Path = ".") -> list[Path]:
        """Write a file of an item, or all of them, below a folder; returns where they are."""
        names = await self.list_artifacts(index) if name is None else [name]
        written = []
        for each in names:
            target = _below(Path(to), each)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(await self.artifact(index, each))
            written.append(target)
        return written

    @property
    def _label(self) -> str:
        return f"batch {self.id} of {self._description.label}"

    def _result(self, raw: Mapping[str, Any]) -> Result:
        return result_of_call(self._description, raw)

    async def _ask(self, what: str, params: Mapping[str, str] | None = None) -> Any:
        return self._connection.parsed(await self._send("GET", what, params))

    async def _send(self, method: str, what: str, params: Mapping[str, str] | None = None) -> Any:
        if self.id is None:
            raise InvalidInput(f"the batch of {self._description.label} was not started yet: call start()")
        path = f"{self._description.path}/batch{path_of(self.id)}" + (f"/{what}" if what else "")
        return await self._connection.send(Request(method, path, params=params), service=self._label)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id or 'not started'} of {self._description.label}>"


class Batch:
    """A batch of a service; iterating it gives results as they arrive."""

    def __init__(self, inner: AsyncBatch) -> None:
        self._inner = inner

    @property
    def id(self) -> str | None:
        """What the server calls it; None before it was started."""
        return self._inner.id

    def start(self, progress: Progress | None = None) -> Batch:
        """Hand the items over; on return the server keeps them, whatever happens to either side."""
        run(self._inner.start(progress))
        return self

    state = blocking(AsyncBatch.state)
    wait = blocking(AsyncBatch.wait)
    results = blocking(AsyncBatch.results)
    status = blocking(AsyncBatch.status)
    arrivals = blocking(AsyncBatch.arrivals)
    cancel = blocking(AsyncBatch.cancel)
    list_artifacts = blocking(AsyncBatch.list_artifacts)
    artifact = blocking(AsyncBatch.artifact)
    download = blocking(AsyncBatch.download)

    def __iter__(self) -> Iterator[Result]:
        seen = 0
        while True:
            results, now = self.arrivals(seen)
            yield from results
            seen += len(results)
            if _is_over(self._inner._label, results, now):
                return

    def __repr__(self) -> str:
        return repr(self._inner).replace("AsyncBatch", "Batch", 1)


async def batch_ids(connection: Connection, description: Description) -> list[str]:
    """Ids of the batches of a service that one may see, oldest first."""
    return list(await connection.ask("GET", f"{description.path}/batch", service=description.label))


def new_batch(
    connection: Connection, description: Description, records: Any, parallel_count: int, rows: int
) -> AsyncBatch:
    """Not started yet. Raises InvalidInput that names the record which does not fit."""
    items = items_of(description, records, rows)
    return AsyncBatch(connection, description, items=items, parallel_count=parallel_count)


def _progress(raw: Mapping[str, Any]) -> BatchProgress:
    return BatchProgress(
        raw["state"],
        raw["completedItemCount"],
        raw["failedItemCount"],
        raw["totalItemCount"],
        raw["message"],
    )


def _is_over(label: str, results: list[Result], now: BatchProgress) -> bool:
    """Whether every result was given. Raises BatchFailed if there would have to be more."""
    if results or not now.ended:
        return False
    if now.state != "Complete":
        raise BatchFailed(f"{label}: {now.message or now.state}")
    return True


def _below(folder: Path, name: str) -> Path:
    """The file's path below the folder. Raises NotFound for a name that leads out of it."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or any("\\" in part or ":" in part for part in parts):
        raise NotFound(f"{name!r} is no name of a file")
    return folder.joinpath(*parts)
