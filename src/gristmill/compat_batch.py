"""Batches by the names of `azureml-model-management-sdk`; `gristmill.compat` hands them out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from gristmill.client.batch import AsyncBatch
from gristmill.client.driving import run

__all__ = ["Batch", "BatchResponse", "records_of"]

#: Makes the answer to one item of its JSON.
Answer = Callable[[Mapping[str, Any]], Any]


def records_of(records: Any) -> list[dict[str, Any]]:
    """The inputs of each item, of a frame or of columns, whose rows are items, or of a list that has them."""
    if not hasattr(records, "columns") and not isinstance(records, Mapping):
        return list(records)
    columns = {name: list(records[name]) for name in getattr(records, "columns", records)}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


class BatchResponse:
    """How far a batch is, with the answers that there are; `execution` gives one by its index."""

    def __init__(self, raw: Mapping[str, Any], answer: Answer) -> None:
        self.state: str = raw["state"]
        self.completed_item_count: int = raw["completedItemCount"]
        self.total_item_count: int = raw["totalItemCount"]
        self._answers = {each["index"]: answer(each) for each in raw["batchExecutionResults"]}

    def execution(self, index: int) -> Any:
        """The `ServiceResponse` of an item, or None while it is not done."""
        return self._answers.get(index)

    def __repr__(self) -> str:
        done = f"{self.completed_item_count} of {self.total_item_count}"
        return f"<BatchResponse>\n   state: {self.state}\n   completed: {done}"


class Batch:
    """A batch; `start()` hands it over."""

    def __init__(self, inner: AsyncBatch, answer: Answer) -> None:
        self._inner = inner
        self._answer = answer

    @property
    def execution_id(self) -> str | None:
        """What the server calls it; None before it was started."""
        return self._inner.id

    def start(self) -> Batch:
        """Hand the items over."""
        run(self._inner.start())
        return self

    def results(self, show_partial_results: bool = True) -> BatchResponse:
        """How far it is now, with the answers that there are."""
        return BatchResponse(run(self._inner.status(partial=show_partial_results)), self._answer)

    def cancel(self) -> None:
        """Stop it, and delete it with all its results."""
        run(self._inner.cancel())

    def list_artifacts(self, index: int) -> list[str]:
        """Names of the files that an item wrote."""
        return run(self._inner.list_artifacts(index))

    def artifact(self, index: int, file_name: str) -> bytes:
        """Content of one of them."""
        return run(self._inner.artifact(index, file_name))

    def download(self, index: int, file_name: str | None = None, destination: str | None = None) -> list[str]:
        """Write one of them, or all, into a folder; their paths."""
        written = run(self._inner.download(index, file_name, destination or os.getcwd()))
        return [str(path) for path in written]
