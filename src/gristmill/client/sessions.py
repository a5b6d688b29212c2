"""Sessions: a live R or Python of one's own on the server, with variables and files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from gristmill.client import display
from gristmill.client.connection import Connection, path_of
from gristmill.client.driving import blocking, run
from gristmill.client.encoding import encode_untyped
from gristmill.client.errors import InvalidInput, NotFound
from gristmill.client.packing import pack, unpack
from gristmill.client.result import Result, result_of_execution
from gristmill.client.wire import Progress, Request

__all__ = ["AsyncSession", "Session", "parse_sessions"]

_BINARY = {"Content-Type": "application/octet-stream"}


class AsyncSession:
    """A session; its methods are awaited. It holds a shell of the server: use `async with`, or close it."""

    def __init__(self, connection: Connection, id: str, runtime: str, name: str = "") -> None:
        self._connection = connection
        self.id = id
        self.runtime = runtime  #: "R" or "Python"
        self.name = name

    async def execute(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        outputs: str | Sequence[str] | None = None,
    ) -> Result:
        """Run code. `inputs` are variables to set before, `outputs` names of those to bring back.

        Code that fails is a Result that says so, with what it printed until then. Raises Gone when the
        session's shell has ended, Conflict when it is busy.
        """
        wanted = [outputs] if isinstance(outputs, str) else list(outputs or ())
        sent = [{"name": k, "value": encode_untyped(k, v)} for k, v in (inputs or {}).items()]
        body = {"code": code, "inputParameters": sent, "outputParameters": wanted}
        raw = await self._ask("POST", "execute", body=body)
        return result_of_execution(self._label, raw)

    async def put(self, objects: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Set variables, as in `put(model=model)`, or of a mapping.

        A Python session takes any object that dill can carry; an R session takes numbers, texts, vectors,
        matrices and frames.
        """
        for name, value in {**(objects or {}), **more}.items():
            if self.runtime == "R" and not isinstance(value, bytes):
                (await self.execute("invisible(NULL)", inputs={name: value})).check()
            else:
                await self._put(name, pack(name, value))

    async def get(self, name: str) -> Any:
        """The value of a variable. A Python session's comes by dill: trust the session's code as your own.

        An R session's comes as its nearest in Python: number, text, array or frame. Raises NotFound.
        """
        if self.runtime == "R":
            if name not in await self.objects():
                raise NotFound(f"{self._label}: there is no object {name!r}")
            return (await self.execute("invisible(NULL)", outputs=[name])).check().output(name)
        answer = await self._connection.send(
            Request("GET", self._path("workspace", name)), service=self._label
        )
        return unpack(name, answer.content)

    async def objects(self) -> list[str]:
        """Names of the variables."""
        return list(await self._ask("GET", "workspace"))

    async def remove(self, name: str) -> None:
        """Remove a variable; raises NotFound."""
        await self._ask("DELETE", "workspace", name)

    async def upload(
        self,
        file: str | Path | bytes | BinaryIO,
        name: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> str:
        """Put a path, bytes or an open file into the working directory; returns the name it has there."""
        content, own = _read(file)
        name = name or own
        if not name:
            raise InvalidInput("give the uploaded file a name: upload(content, 'rows.csv')")
        form = {"file": (name, content, _BINARY["Content-Type"])}
        request = Request("POST", self._path("files"), form=form, progress=progress)
        await self._connection.send(request, service=self._label)
        return name

    async def download(self, name: str, to: str | Path | None = None) -> bytes:
        """Content of a file of the working directory; with `to` it is also written there. Raises NotFound."""
        answer = await self._connection.send(Request("GET", self._path("files", name)), service=self._label)
        if to is not None:
            _write(Path(to), name, answer.content)
        return answer.content

    async def files(self) -> list[str]:
        """Files of the working directory, as relative paths."""
        return list(await self._ask("GET", "files"))

    async def remove_file(self, name: str) -> None:
        """Remove a file of the working directory; raises NotFound."""
        await self._ask("DELETE", "files", name)

    async def snapshot(self, name: str = "") -> str:
        """Keep variables and files as a snapshot; returns its id. Raises InvalidInput."""
        found = await self._ask("POST", "snapshot", body={"name": name})
        return str(found["snapshotId"])

    async def load_snapshot(self, snapshot: str) -> None:
        """Replace variables and files by those of a snapshot."""
        await self._ask("POST", "loadsnapshot", snapshot)

    async def console(self) -> str:
        """What the running, or last, execution has printed; ask from another thread or task."""
        found = await self._ask("GET", "console-output")
        return str(found["consoleOutput"])

    async def history(self) -> list[str]:
        """The code of each execution, oldest first."""
        return list(await self._ask("GET", "history"))

    async def cancel(self) -> None:
        """Interrupt what is running, from another thread or task; the session lives on."""
        await self._ask("POST", "cancel")

    async def close(self, *, force: bool = False) -> None:
        """End the session; its variables and files are gone. `force` also ends one that is busy."""
        await self._connection.send(
            Request("DELETE", self._path(*(["force"] if force else []))), service=self._label
        )

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(force=kind is not None)

    async def _put(self, name: str, data: bytes, progress: Progress | None = None) -> None:
        request = Request("POST", self._path("workspace", name), _BINARY, data, progress=progress)
        await self._connection.send(request, service=self._label)

    @property
    def _label(self) -> str:
        return f"session {self.name or self.id}"

    def _path(self, *segments: str) -> str:
        return path_of("sessions", self.id, *segments)

    async def _ask(self, method: str, *segments: str, body: Any = None) -> Any:
        return await self._connection.ask(method, self._path(*segments), body, service=self._label)

    def _rows(self) -> list[tuple[str, str]]:
        return [("runtime", self.runtime), ("id", self.id)]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.runtime} {self.id}{f' {self.name!r}' if self.name else ''}>"

    def _repr_html_(self) -> str:
        return display.pairs(f"Session {self.name}".strip(), self._rows())


class Session:
    """A session; use it with `with`, or close it: it holds a shell of the server."""

    def __init__(self, inner: AsyncSession) -> None:
        self._inner = inner

    @property
    def id(self) -> str:
        """What the server calls it."""
        return self._inner.id

    @property
    def runtime(self) -> str:
        """Language that it runs: "R" or "Python"."""
        return self._inner.runtime

    @property
    def name(self) -> str:
        """What its owner calls it; may be empty."""
        return self._inner.name

    execute = blocking(AsyncSession.execute)
    put = blocking(AsyncSession.put)
    get = blocking(AsyncSession.get)
    objects = blocking(AsyncSession.objects)
    remove = blocking(AsyncSession.remove)
    upload = blocking(AsyncSession.upload)
    download = blocking(AsyncSession.download)
    files = blocking(AsyncSession.files)
    remove_file = blocking(AsyncSession.remove_file)
    snapshot = blocking(AsyncSession.snapshot)
    load_snapshot = blocking(AsyncSession.load_snapshot)
    console = blocking(AsyncSession.console)
    history = blocking(AsyncSession.history)
    cancel = blocking(AsyncSession.cancel)
    close = blocking(AsyncSession.close)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run(self._inner.__aexit__(kind, error, trace))

    def __repr__(self) -> str:
        return repr(self._inner).replace("AsyncSession", "Session", 1)

    def _repr_html_(self) -> str:
        return self._inner._repr_html_()


def _read(file: str | Path | bytes | BinaryIO) -> tuple[bytes, str]:
    """Content and own name of a file to upload."""
    if isinstance(file, bytes):
        return file, ""
    if isinstance(file, (str, os.PathLike)):
        path = Path(file)
        try:
            return path.read_bytes(), path.name
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    name = getattr(file, "name", "")
    return file.read(), Path(name).name if isinstance(name, str) else ""


def _write(to: Path, name: str, content: bytes) -> None:
    """Into a folder, under the file's own name, or under another path."""
    (to / Path(name).name if to.is_dir() else to).write_bytes(content)


def parse_sessions(connection: Connection, found: list[dict[str, Any]]) -> list[AsyncSession]:
    """The sessions that the server lists."""
    return [
        AsyncSession(connection, s["id"], s.get("runtimeType") or "R", s.get("name") or "") for s in found
    ]
