"""The client, asynchronous: everything that a user does with a server begins here."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Union

from gristmill.client.connection import Connection, path_of
from gristmill.client.definition import define
from gristmill.client.description import Description
from gristmill.client.errors import NotFound
from gristmill.client.listing import Services
from gristmill.client.moving import FilePath, export_service, import_service
from gristmill.client.publishing import Upload, open_session, patch, publish
from gristmill.client.realtime import as_bytes, send_model
from gristmill.client.services import AsyncService, async_service
from gristmill.client.sessions import AsyncSession, parse_sessions
from gristmill.client.wire import Progress, Request

__all__ = ["LATEST", "AsyncClient"]

#: Stands for the version that was published last.
LATEST = "latest"
Code = Union[str, Callable[..., Any]]


class AsyncClient:
    """A Gristmill server, logged in to; `gristmill.connect_async` makes one. Its methods are awaited."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._connection.url

    @property
    def username(self) -> str | None:
        """The account, or None where only a token was given."""
        return self._connection.login.username

    async def services(self, name: str | None = None) -> Services:
        """All published versions, or those of one name; of one name the oldest comes first."""
        path = "/services" if name is None else path_of("services", name)
        return Services(Description.parse(each) for each in await self._connection.ask("GET", path))

    async def service(self, name: str, version: str = LATEST) -> AsyncService:
        """A version to call, the latest unless one is named. Raises NotFound, with names that are alike."""
        return async_service(self._connection, await self._describe(name, version))

    async def publish(
        self,
        name: str,
        code: Code,
        *,
        models: Mapping[str, Any] | None = None,
        objects: Mapping[str, Any] | None = None,
        files: Mapping[str, Any] | Sequence[Any] | None = None,
        init: Code | None = None,
        inputs: Any = None,
        outputs: Any = None,
        artifacts: str | Sequence[str] = (),
        version: str | None = None,
        alias: str | None = None,
        description: str | None = None,
        batchable: bool = False,
        runtime: str = "Python",
        check: bool = True,
        progress: Upload | None = None,
    ) -> AsyncService:
        """Publish a function, or a text of code, as a version of a service, and return it ready to be called.

        name: letters, digits, `.`, `_` and `-`.
        code: a function, whose source travels; or a text that reads the inputs and sets the outputs by name.
        models, objects: what the code uses, by the names that it uses. Functions go as their source, anything
            else by dill.
        files: paths (or names and contents) that lie in the service's working directory at each call.
        init: a function without arguments, or a text, that runs once in each shell before the first call.
        inputs: a type or a sample for each argument (`{"rows": frame, "n": int}`); a frame alone, for a
            function of one argument; nothing where the function is annotated. A sample frame's columns are
            recorded, and a call with other columns is refused.
        outputs: a type for each output; a function with several returns a tuple in their order. Nothing
            where the return is annotated: the output is then called `result`.
        artifacts: names of files that the code writes and that come with each answer.
        version: chosen by the server if not given.
        alias: the name of the method that calls the service; the function's own name if not given.
        description: for people; the function's docstring if not given.
        batchable: the rows do not depend on each other, so that calls that wait may run as one.
        runtime: "Python", or "R" for a text of R code.
        check: find names that would not be there on the server, before anything is sent.
        progress: called with a name, bytes sent and bytes in all, as objects are uploaded.

        Modules and names of installed packages that the function uses are imported for it, in the init code;
        the service's `notes` say which. Raises NotPortable for what cannot be had on the server, InvalidInput
        for what the server refuses, Conflict if the version exists.
        """
        definition = define(
            code,
            models=models,
            objects=objects,
            files=files,
            init=init,
            inputs=inputs,
            outputs=outputs,
            artifacts=artifacts,
            alias=alias,
            description=description,
            batchable=batchable,
            runtime=runtime,
            check=check,
        )
        chosen = await publish(self._connection, name, version, definition, progress)
        return async_service(self._connection, await self._describe(name, chosen), definition.notes)

    async def redeploy(
        self,
        name: str,
        code: Code | None = None,
        *,
        models: Mapping[str, Any] | None = None,
        objects: Mapping[str, Any] | None = None,
        files: Mapping[str, Any] | Sequence[Any] | None = None,
        init: Code | None = None,
        inputs: Any = None,
        outputs: Any = None,
        artifacts: str | Sequence[str] | None = None,
        version: str = LATEST,
        alias: str | None = None,
        description: str | None = None,
        batchable: bool | None = None,
        check: bool = True,
        progress: Upload | None = None,
    ) -> AsyncService:
        """Change a published version in place: what is given, as in `publish`; all else stays as it is.

        Models, objects and files belong together: giving any of them replaces all of them. Raises NotFound,
        Forbidden, and what `publish` raises.
        """
        current = await self._describe(name, version)
        definition = define(
            code,
            models=models,
            objects=objects,
            files=files,
            init=init,
            inputs=inputs,
            outputs=outputs,
            artifacts=artifacts,
            alias=alias,
            description=description,
            batchable=batchable,
            runtime=current.runtime,
            check=check,
            known=current.init_code,
        )
        await patch(self._connection, name, current.version, definition, progress)
        return async_service(self._connection, await self._describe(name, current.version), definition.notes)

    async def publish_realtime(
        self,
        name: str,
        model: Any,
        *,
        sample: Any = None,
        version: str | None = None,
        alias: str | None = None,
        description: str | None = None,
        tolerance: float | None = None,
    ) -> AsyncService:
        """Publish a model as a realtime service: the server scores it itself, without Python or R.

        name: letters, digits, `.`, `_` and `-`.
        model: a fitted model of scikit-learn, XGBoost, LightGBM or statsmodels; or the bytes that
            `gristmill.serialize_model`, or R's `serializeModel`, made of one.
        sample: rows as the model was fitted on, a frame or a matrix; not needed with bytes.
        version: chosen by the server if not given.
        alias: the name of the method that calls the service.
        description: for people.
        tolerance: largest relative difference to the model's own scores of the sample; 1e-6 if not given.

        The service takes a frame (or a dict of columns, or columns by keyword) and answers with a frame.
        Raises InvalidInput for a model that cannot be scored natively, and if the server scores the sample
        otherwise than the model does; Conflict if the version exists.
        """
        data = as_bytes(name, model, sample, tolerance)
        chosen = await send_model(
            self._connection, "POST", name, version, model=data, description=description, alias=alias
        )
        return async_service(self._connection, await self._describe(name, chosen))

    async def redeploy_realtime(
        self,
        name: str,
        model: Any = None,
        *,
        sample: Any = None,
        version: str = LATEST,
        alias: str | None = None,
        description: str | None = None,
        tolerance: float | None = None,
    ) -> AsyncService:
        """Change a realtime service in place: its model, as in `publish_realtime`, its alias or description.

        Calls in flight finish with the old model. Raises NotFound, Forbidden, and what `publish_realtime`
        raises.
        """
        current = await self._describe(name, version)
        data = None if model is None else as_bytes(name, model, sample, tolerance)
        await send_model(
            self._connection,
            "PATCH",
            name,
            current.version,
            model=data,
            description=description,
            alias=alias,
        )
        return async_service(self._connection, await self._describe(name, current.version))

    async def export(
        self, name: str, version: str, path: FilePath | None = None, *, progress: Progress | None = None
    ) -> Path:
        """Write a version with its content to a file, `NAME-VERSION.gm` unless named; where it is.

        Another server, or an image, gets it by `import_`. One service is always the same bytes. Only who may
        change a service may export it, as the file shows its code: Forbidden, NotFound. `progress` is called
        with bytes received and bytes in all.
        """
        target = Path(path) if path is not None else Path(f"{name}-{version}.gm")
        return await export_service(self._connection, name, version, target, progress)

    async def import_(
        self,
        path: FilePath,
        *,
        name: str | None = None,
        version: str | None = None,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> AsyncService:
        """Publish a service that `export` wrote to a file, and return it ready to be called.

        name, version: instead of those in the file.
        replace: a version that exists is changed in place.

        Raises InvalidInput for a file that is damaged or not sound, Conflict if the version exists.
        """
        found, chosen = await import_service(
            self._connection, path, name=name, version=version, replace=replace, progress=progress
        )
        return async_service(self._connection, await self._describe(found, chosen))

    async def delete(self, name: str, version: str) -> None:
        """Delete a version, which is always named; calls in flight finish. Raises NotFound, Forbidden."""
        label = f"{name} {version}"
        await self._connection.send(Request("DELETE", path_of("services", name, version)), service=label)

    async def session(
        self, runtime: str = "Python", *, name: str = "", snapshot: str | None = None
    ) -> AsyncSession:
        """Start a session of Python or R, from a snapshot if one is named."""
        return await open_session(self._connection, runtime, name, snapshot)

    async def sessions(self) -> list[AsyncSession]:
        """One's own live sessions."""
        return parse_sessions(self._connection, await self._connection.ask("GET", "/sessions"))

    async def snapshots(self) -> list[dict[str, Any]]:
        """One's own snapshots, oldest first: id, name, creationTime, contentSize in bytes."""
        return list(await self._connection.ask("GET", "/snapshots"))

    async def download_snapshot(self, snapshot: str) -> bytes:
        """A snapshot as a zip of the workspace file and the files of the working directory."""
        return (await self._connection.send(Request("GET", path_of("snapshots", snapshot)))).content

    async def delete_snapshot(self, snapshot: str) -> None:
        """Delete a snapshot; services that were published from it keep what they have."""
        await self._connection.send(Request("DELETE", path_of("snapshots", snapshot)))

    async def status(self) -> dict[str, Any]:
        """Health of the server and its parts: statusCode (pass, warn, fail), details, components."""
        found: dict[str, Any] = await self._connection.ask("GET", "/status")
        return found

    async def logout(self) -> None:
        """Revoke the tokens, also in the profile, and close."""
        await self._connection.login.leave(self._connection.wire)
        await self.close()

    async def close(self) -> None:
        """Give the connections back; the tokens hold on."""
        await self._connection.wire.close()

    async def _describe(self, name: str, version: str) -> Description:
        path = path_of("services", name) if version == LATEST else path_of("services", name, version)
        try:
            found = await self._connection.ask("GET", path)
        except NotFound:
            found = []
        if not found:
            raise await self._no_service(name, version)
        return Description.parse(found[-1])

    async def _no_service(self, name: str, version: str) -> NotFound:
        """The error for a service or a version that is not there, naming what is."""
        there = await self.services()
        versions = [each.version for each in there if each.name == name]
        if versions:
            message = f"{name} has no version {version!r}; there are: {', '.join(versions[-8:])}"
        else:
            close = difflib.get_close_matches(name, {each.name for each in there}, 3)
            message = f"there is no service {name!r}" + (f"; is {' or '.join(close)} meant?" if close else "")
        error = NotFound(message)
        error.service = name
        return error

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}{f' as {self.username}' if self.username else ''}>"
