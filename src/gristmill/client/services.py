"""A published version to call: its alias is a method with the arguments that the service declares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from gristmill.client import display
from gristmill.client.batch import AsyncBatch, Batch, batch_ids, new_batch
from gristmill.client.connection import JSON, Connection, path_of, to_json
from gristmill.client.description import (
    Description,
    arguments,
    docstring,
    python_name,
    signature,
)
from gristmill.client.driving import blocking
from gristmill.client.encoding import encode
from gristmill.client.errors import GristmillError, InvalidInput, UnexpectedAnswer
from gristmill.client.realtime import REALTIME, rows_of
from gristmill.client.result import Result, result_of_call
from gristmill.client.types import shown, told
from gristmill.client.wire import Request
from gristmill.schema import Parameter

__all__ = ["AsyncService", "Described", "Service", "async_service", "with_alias"]

S = TypeVar("S", bound="Described")


class Described:
    """What a service tells of itself without being asked over the network."""

    _description: Description
    #: What was added to the author's code when it was published.
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the service."""
        return self._description.name

    @property
    def version(self) -> str:
        """Its version."""
        return self._description.version

    @property
    def alias(self) -> str:
        """Name of the operation, which is the method that calls the service."""
        return self._description.alias

    @property
    def description(self) -> str:
        """What its author says of it."""
        return self._description.description

    @property
    def runtime(self) -> str:
        """Language that it runs in: R, Python or Realtime."""
        return self._description.runtime

    @property
    def inputs(self) -> tuple[Parameter, ...]:
        """Declared inputs, in order."""
        return self._description.inputs

    @property
    def outputs(self) -> tuple[Parameter, ...]:
        """Declared outputs, in order."""
        return self._description.outputs

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Files that each answer brings."""
        return self._description.artifacts

    @property
    def code(self) -> str:
        """The code that runs at each call; empty for those who may not change the service."""
        return self._description.code

    @property
    def init_code(self) -> str:
        """The code that runs once in each shell; empty for those who may not change the service."""
        return self._description.init_code

    @property
    def details(self) -> Description:
        """All that is known of it, as a record."""
        return self._description

    def rows(self) -> list[tuple[str, str]]:
        """What is worth reading of it: a heading and a text for each line."""
        about = self._description
        call = f"{python_name(about.alias)}{signature(about, returns='Result', bound=True)}"
        rows = [("description", about.description)] if about.description else []
        rows += [("call", call.replace("'", ""))]
        rows += [(f"input {each.name}", shown(each)) for each in about.inputs]
        rows += [(f"output {each.name}", shown(each)) for each in about.outputs]
        rows += [("files", ", ".join(about.artifacts))] if about.artifacts else []
        rows += [("published", f"by {about.published_by}, {about.created}, {about.runtime}")]
        return rows + [("note", note) for note in self.notes]

    def __repr__(self) -> str:
        lines = [f"Service {self._description.label}", *(f"  {key}: {value}" for key, value in self.rows())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return display.pairs(f"Service {self._description.label}", self.rows())


class AsyncService(Described):
    """A version of a service; its methods are awaited, also the one that is called like its alias."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Awaitable[Result]]:
            """The alias, for type checkers."""

    def __init__(self, connection: Connection, description: Description) -> None:
        self._connection = connection
        self._description = description

    async def call(self, *args: Any, **kwargs: Any) -> Result:
        """Call the service with its inputs, in order or by name; the same as the method named like its alias.

        Values are bool, int, float, str, lists, numpy arrays, pandas frames (or dicts of columns), as
        declared; a realtime service takes its columns by keyword as well. Raises InvalidInput for inputs
        that do not fit; code that fails is a Result that says so.
        """
        about = self._description
        realtime = about.runtime == REALTIME and len(about.inputs) == 1
        given = rows_of(about, args, kwargs) if realtime else arguments(about, args, kwargs)
        try:
            body = to_json({each.name: encode(each, given[each.name]) for each in about.inputs})
        except GristmillError as error:
            raise _of(about, error) from None
        try:
            request = Request("POST", about.path, JSON, body, changes=False)
            answer = await self._connection.send(request, service=about.label)
        except InvalidInput as error:
            raise _explained(about, given, error) from None
        raw = self._connection.parsed(answer)
        if not isinstance(raw, dict):
            raise UnexpectedAnswer(f"{about.label}: the answer is not that of a service")
        return result_of_call(about, raw)

    async def __call__(self, *args: Any, **kwargs: Any) -> Result:
        """As `call`."""
        return await self.call(*args, **kwargs)

    def batch(self, records: Any, *, parallel_count: int = 10, rows: int = 1000) -> AsyncBatch:
        """A batch of many calls, for the server to run on its own time; `start` hands it over.

        records: a list with the inputs of each item, as dicts by name, or as values where the service has
            one input; or a frame: its rows are items where the service takes scalars, and are cut into items
            of `rows` rows where it takes one frame.
        parallel_count: how many items run at a time; the server has a maximum.

        Raises InvalidInput that names the record which does not fit.
        """
        return new_batch(self._connection, self._description, records, parallel_count, rows)

    def get_batch(self, id: str) -> AsyncBatch:
        """A batch that was started before."""
        return AsyncBatch(self._connection, self._description, id=id)

    async def batches(self) -> list[str]:
        """Ids of one's own batches of this service, oldest first."""
        return await batch_ids(self._connection, self._description)

    async def swagger(self) -> dict[str, Any]:
        """The service's description for code generators, Swagger 2.0."""
        about = self._description
        found: dict[str, Any] = await self._connection.ask(
            "GET", f"{about.path}/swagger.json", service=about.label
        )
        return found

    def capabilities(self) -> dict[str, Any]:
        """What the service is and takes, as one dict; nothing is asked of the server."""
        about = self._description
        return {
            "name": about.name,
            "version": about.version,
            "api": about.path,
            "swagger": f"{self._connection.url}{about.path}/swagger.json",
            "operation": about.alias,
            "description": about.description,
            "runtime": about.runtime,
            "published_by": about.published_by,
            "creation_time": about.created,
            "inputs": [each.describe() for each in about.inputs],
            "outputs": [each.describe() for each in about.outputs],
            "artifacts": list(about.artifacts),
            "batchable": about.batchable,
            "writable": about.writable,
        }

    async def delete(self) -> None:
        """Delete this version; calls in flight finish. Raises Forbidden, NotFound."""
        about = self._description
        path = path_of("services", about.name, about.version)
        await self._connection.send(Request("DELETE", path), service=about.label)


class Service(Described):
    """A version of a service; the method that is called like its alias calls it.

    `service.price(rows)`, `service(rows)` and `service.call(rows)` are the same call.
    """

    def __new__(cls, inner: AsyncService) -> Service:
        """Of a class of its own, which has the alias as a method."""
        return object.__new__(with_alias(cls, inner.details, "Result"))

    def __init__(self, inner: AsyncService) -> None:
        self._inner = inner
        self._description = inner.details
        self.notes = inner.notes

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Result]:
            """The alias, for type checkers."""

    call = blocking(AsyncService.call)
    __call__ = blocking(AsyncService.__call__)
    swagger = blocking(AsyncService.swagger)
    batches = blocking(AsyncService.batches)
    delete = blocking(AsyncService.delete)

    def capabilities(self) -> dict[str, Any]:
        """What the service is and takes, as one dict; nothing is asked of the server."""
        return self._inner.capabilities()

    def batch(self, records: Any, *, parallel_count: int = 10, rows: int = 1000) -> Batch:
        """A batch of many calls, for the server to run on its own time; `start` hands it over.

        records: a list with the inputs of each item, as dicts by name, or as values where the service has
            one input; or a frame: its rows are items where the service takes scalars, and are cut into items
            of `rows` rows where it takes one frame.
        parallel_count: how many items run at a time; the server has a maximum.

        Raises InvalidInput that names the record which does not fit.
        """
        return Batch(self._inner.batch(records, parallel_count=parallel_count, rows=rows))

    def get_batch(self, id: str) -> Batch:
        """A batch that was started before."""
        return Batch(self._inner.get_batch(id))


def async_service(
    connection: Connection, description: Description, notes: tuple[str, ...] = ()
) -> AsyncService:
    """The object for a version, of a class that has its alias as a method."""
    made = with_alias(AsyncService, description, "Awaitable[Result]")(connection, description)
    made.notes = notes
    return made


def with_alias(base: type[S], description: Description, returns: str) -> type[S]:
    """A subclass with one more method: the service's operation, with its own signature and docstring.

    An alias that the class has a use for itself stays that; such a service is called by `call`.
    """
    alias = python_name(description.alias)
    words = "".join(part.title() for part in python_name(description.name).split("_"))
    body: dict[str, Any] = {"__module__": base.__module__, "__doc__": docstring(description)}
    if not hasattr(base, alias):
        body[alias] = _method(alias, description, returns)
    return type(f"{words}{base.__name__}", (base,), body)


def _method(alias: str, description: Description, returns: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    method.__name__ = method.__qualname__ = alias
    method.__doc__ = docstring(description)
    method.__signature__ = signature(description, returns=returns)  # type: ignore[attr-defined]
    return method


def _of(about: Description, error: GristmillError) -> GristmillError:
    """The error, naming the service as well."""
    told = type(error)(f"{about.label}: {error.message}")
    told.service, told.parameter, told.expected, told.got = (
        about.label,
        error.parameter,
        error.expected,
        error.got,
    )
    return told


def _explained(about: Description, given: Mapping[str, Any], error: InvalidInput) -> InvalidInput:
    """The server's refusal of an input, with what was expected and what came where it says neither."""
    declared = {each.name: each for each in about.inputs}
    if error.parameter not in declared or error.expected is not None:
        return error
    expected, got = shown(declared[error.parameter]), told(given[error.parameter])
    more = InvalidInput(f"{error.message}; expected {expected}, got {got}")
    more.service, more.parameter, more.expected, more.got = about.label, error.parameter, expected, got
    return more
