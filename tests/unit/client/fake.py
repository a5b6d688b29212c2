"""A server in the test's own process: what a client needs of the protocol, and a record of what was asked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

__all__ = ["URL", "FakeServer", "described"]

URL = "http://server.test:12800"
FIXED = {
    "snapshot": {"snapshotId": "snap1"},
    "console-output": {"consoleOutput": "so far"},
    "history": ["x = 1"],
}
Handler = Callable[[httpx.Request, list[str]], httpx.Response]


def described(name: str = "area", version: str = "1.0", **fields: Any) -> dict[str, Any]:
    """A `WebService` as the server shows it."""
    return {
        "name": name,
        "version": version,
        "versionPublishedBy": "ann",
        "creationTime": "2026-11-22T10:00:00.000Z",
        "snapshotId": None,
        "runtimeType": "Python",
        "initCode": "",
        "code": "area = r * r",
        "description": "",
        "operationId": None,
        "inputParameterDefinitions": [{"name": "r", "type": "numeric"}],
        "outputParameterDefinitions": [{"name": "area", "type": "numeric"}],
        "outputFileNames": [],
        "myPermissionOnService": "read/write",
        "batchable": False,
        **fields,
    }


@dataclass
class FakeServer:
    """Answers as the real one does; `script` holds answers to give first, or errors to raise."""

    services: list[dict[str, Any]] = field(default_factory=list)
    asked: list[httpx.Request] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)  #: the bodies of what was asked
    script: list[httpx.Response | Exception] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    refresh_tokens: set[str] = field(default_factory=set)
    workspace: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    score: Callable[[dict[str, Any]], dict[str, Any]] = lambda inputs: {"area": inputs["r"] ** 2}
    execute: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: {}
    password: str = "right"
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def transport(self) -> httpx.MockTransport:
        """To be given to `connect`."""
        return httpx.MockTransport(self)

    def did(self) -> list[str]:
        """What was asked so far, as `POST /login`."""
        return [f"{each.method} {each.url.path}" for each in self.asked]

    def body(self, asked: str) -> Any:
        """The JSON of the last request of this kind."""
        found = [each for each in self.asked if f"{each.method} {each.url.path}" == asked]
        return json.loads(found[-1].content)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        assert isinstance(request.stream, httpx.SyncByteStream)
        sent = b"".join(request.stream)
        assert str(len(sent)) == request.headers.get("content-length", "0")
        assert sent == request.content or not request.content  # httpx keeps none of what comes from a file
        self.sent.append(sent)
        if self.script:
            answer = self.script.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        path = request.url.path
        if path.startswith("/login"):
            return self._login(request, path)
        if request.headers.get("authorization", "")[7:] not in self.tokens:
            return problem(401, "NotAuthenticated", "the token has expired")
        parts = path.strip("/").split("/")
        handler: Handler = getattr(self, f"_{parts[0].replace('-', '_')}")
        return handler(request, parts[1:])

    def _login(self, request: httpx.Request, path: str) -> httpx.Response:
        if request.method == "DELETE":
            self.refresh_tokens.discard(request.url.params["refreshToken"])
            return httpx.Response(200, json={})
        sent = json.loads(request.content)
        if path == "/login/refreshToken":
            if sent["refreshToken"] not in self.refresh_tokens:
                return problem(401, "NotAuthenticated", "the refresh token is not valid")
            self.refresh_tokens.discard(sent["refreshToken"])
        elif sent["password"] != self.password:
            return problem(401, "NotAuthenticated", "wrong user name or password")
        return httpx.Response(200, json=self.new_tokens())

    def new_tokens(self) -> dict[str, Any]:
        number = next(self._numbers)
        pair = {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}"}
        self.tokens = {pair["access_token"]}
        self.refresh_tokens.add(pair["refresh_token"])
        return {"token_type": "Bearer", **pair, "expires_in": 3600, "expires_on": "1900000000"}

    def _services(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        found = [s for s in self.services if [s["name"], s["version"]][: len(parts)] == parts]
        if request.method == "GET":
            if len(parts) == 2 and not found:
                return problem(404, "NotFound", "there is no such version")
            return httpx.Response(200, json=found)
        if request.method == "DELETE":
            self.services = [s for s in self.services if s not in found]
            return httpx.Response(200, json="deleted")
        sent = json.loads(request.content)
        if request.method == "PATCH":
            found[0].update(sent)
            return httpx.Response(200, json="updated")
        version = parts[1] if len(parts) == 2 else "chosen-by-server"
        if found and len(parts) == 2:
            return problem(409, "Conflict", f"{parts[0]} {version} exists already")
        base: dict[str, Any] = {"inputParameterDefinitions": [], "outputParameterDefinitions": []}
        self.services.append(described(parts[0], version, **{**base, **sent}))
        return httpx.Response(201, json="published", headers={"Location": f"/services/{parts[0]}/{version}"})

    def _api(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        if parts[-1] == "swagger.json":
            return httpx.Response(200, json={"swagger": "2.0"})
        outputs = self.score(json.loads(request.content))
        answer = {
            "success": True,
            "errorMessage": "",
            "outputFiles": {},
            "consoleOutput": "",
            "changedFiles": [],
        }
        whole = outputs if "outputParameters" in outputs else {"outputParameters": outputs}
        return httpx.Response(200, json={**answer, **whole})

    def _sessions(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        if request.method == "POST" and not parts:
            return httpx.Response(201, json={"sessionId": "s1"})
        if request.method == "GET" and not parts:
            runtime = {"runtimeType": "Python", "name": "mine", "owner": "ann"}
            return httpx.Response(200, json=[{"id": "s1", **runtime}])
        match parts[1:]:
            case ["workspace" | "files" as kind, *name]:
                return self._kept(request, self.workspace if kind == "workspace" else self.files, name)
            case ["execute"]:
                answer = {"success": True, "errorMessage": "", "outputParameters": [], "changedFiles": []}
                done = self.execute(json.loads(request.content))
                return httpx.Response(200, json={**answer, "consoleOutput": "", **done})
            case ["snapshot" | "console-output" | "history" as kind]:
                return httpx.Response(200, json=FIXED[kind])
        return httpx.Response(200, json="done")

    def _snapshots(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        if request.method == "GET":
            return (
                httpx.Response(200, content=b"zip") if parts else httpx.Response(200, json=[{"id": "snap1"}])
            )
        return httpx.Response(200, json="deleted")

    def _realtime_services(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        name, version = parts[0], parts[1] if len(parts) == 2 else "chosen-by-server"
        self.services = [s for s in self.services if (s["name"], s["version"]) != (name, version)]
        columns = [{"name": "inputData", "type": "data.frame", "columns": ["x", "n"]}]
        scores = [{"name": "outputData", "type": "data.frame"}]
        _, _, alias = request.content.partition(b'name="operationId"\r\n\r\n')
        self.services.append(
            described(
                name,
                version,
                runtimeType="Realtime",
                operationId=alias.partition(b"\r\n")[0].decode() or None,
                inputParameterDefinitions=columns,
                outputParameterDefinitions=scores,
            )
        )
        if request.method == "PATCH":
            return httpx.Response(200, json="updated")
        return httpx.Response(201, json="published", headers={"Location": f"/services/{name}/{version}"})

    def _status(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        return httpx.Response(200, json={"statusCode": "pass", "details": {}, "components": {}})

    def _kept(self, request: httpx.Request, store: dict[str, bytes], named: list[str]) -> httpx.Response:
        if not named and request.method == "GET":
            return httpx.Response(200, json=sorted(store))
        content = request.read()
        if not named:  # a form with one file
            head, _, rest = content.partition(b"\r\n\r\n")
            store[head.split(b'filename="')[1].split(b'"')[0].decode()] = rest.rsplit(b"\r\n--", 1)[0]
            return httpx.Response(201, json="uploaded")
        name = named[0]
        if request.method == "POST":
            store[name] = content
            return httpx.Response(200, json="set")
        if name not in store:
            return problem(404, "NotFound", f"there is no {name}")
        if request.method == "DELETE":
            del store[name]
            return httpx.Response(200, json="deleted")
        return httpx.Response(200, content=store[name])


def problem(status: int, kind: str, message: str, retry_after: str = "") -> httpx.Response:
    """A refusal as the server sends it."""
    headers = {"Retry-After": retry_after} if retry_after else {}
    body = {"message": message, "link": "/docs", "exceptionType": kind}
    return httpx.Response(status, json=body, headers=headers)
