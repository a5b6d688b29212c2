"""Gristmill as one of the systems: its services are published over plain REST, as any client would."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from .boston import Boston
from .home import Home, Unavailable
from .processes import Server, free_port
from .systems import JSON, System

__all__ = ["Gristmill", "Installation", "publish"]

VERSION = "1.0.0"
OUTPUT = [{"name": "prediction", "type": "vector"}]


@dataclass(slots=True, kw_only=True)
class Installation:
    """One server program with one data folder, which lives as long as the run."""

    program: Path
    shells: int = 2
    options: tuple[str, ...] = ()  #: further options of `gristmill serve`
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    data: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gristmill-bench-")))

    @classmethod
    def find(cls, given: Path | None = None, *, options: tuple[str, ...] = ()) -> Installation:
        """`given`, or the `gristmill` beside this interpreter, or on the PATH. Raises Unavailable."""
        beside = Path(sys.executable).with_name("gristmill")
        program = given or (beside if beside.exists() else None) or shutil.which("gristmill")
        if program is None:
            raise Unavailable("no `gristmill` beside this Python or on the PATH: name it with --gristmill")
        return cls(program=Path(program).absolute(), options=options)

    @property
    def python(self) -> Path:
        """The interpreter of its Python shells: that of the server, where nothing else is set."""
        return self.program.with_name("python")

    def command(self, port: int) -> list[str]:
        pool = ["--pool-initial", str(self.shells), "--pool-max", str(self.shells)]
        place = ["--host", "127.0.0.1", "--port", str(port), "--data", str(self.data)]
        return [str(self.program), "serve", *place, *pool, *self.options]

    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GRISTMILL_")}
        return {**kept, "GRISTMILL_ADMIN_PASSWORD": self.password}

    def start(self, port: int, log: Path) -> Server:
        """The server, ready. Raises Unavailable."""
        server = Server(self.command(port), env=self.env(), cwd=self.data, log=log)
        try:
            server.wait_until_ready(f"http://127.0.0.1:{port}/health/ready")
        except BaseException:
            server.stop()
            raise
        return server

    def headers(self, origin: str) -> Mapping[str, str]:
        """Those of a caller who has logged in as admin."""
        answer = httpx.post(f"{origin}/login", json={"username": "admin", "password": self.password})
        return {**JSON, "Authorization": f"Bearer {_checked(answer)['access_token']}"}

    def version(self) -> str:
        asked = [str(self.python), "-c", "import gristmill; print(gristmill.__version__)"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()

    def remove(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)


def _checked(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else None
    asked = f"{answer.request.method} {answer.request.url.path}"
    raise Unavailable(f"{asked} answered {answer.status_code}: {answer.text[:300]}")


def publish(
    origin: str,
    headers: Mapping[str, str],
    *,
    name: str,
    runtime: str,
    model: bytes,
    request: Mapping[str, Any],
) -> None:
    """Publish `name` with the object `model` in its workspace, by way of a session and its snapshot.

    `model` is what `dill.dumps` or R's `saveRDS` made. Raises Unavailable with the server's words.
    """
    bearer = {"Authorization": headers["Authorization"]}
    with httpx.Client(base_url=origin, headers=bearer, timeout=120) as client:
        session = _checked(client.post("/sessions", json={"runtimeType": runtime}))["sessionId"]
        binary = {"Content-Type": "application/octet-stream"}
        _checked(client.post(f"/sessions/{session}/workspace/model", content=model, headers=binary))
        taken = _checked(client.post(f"/sessions/{session}/snapshot", json={"name": name}))
        body = {"runtimeType": runtime, "snapshotId": taken["snapshotId"], **request}
        _checked(client.post(f"/services/{name}/{VERSION}", json=body))
        _checked(client.delete(f"/sessions/{session}"))
        _checked(client.delete(f"/snapshots/{taken['snapshotId']}"))


R_PACKAGE = Path(__file__).parents[2] / "r"


class Gristmill(System):
    """Standard services of both models. `kind`: frame, array, batch (array, batchable) or r.

    Those in R are published by the R package.
    """

    ready = "/health/ready"

    def __init__(self, kind: str, installation: Installation) -> None:
        self.kind = kind
        self.language = "R" if kind == "r" else "Python"
        self.name = f"gristmill-{kind}"
        self.installation = installation
        titles = {"r": "R, 2 shells", "batch": "Python, array, batchable"}
        self.title = f"Gristmill {titles.get(kind, f'Python, {kind}')}"

    def prepare(self, home: Home) -> dict[str, str]:
        here = self.installation
        self.python = here.python
        self.folder = home.r_models if self.kind == "r" else home.models("gristmill", here.python)
        versions = self.versions()
        home.say(f"Publishing the services of {self.title}")
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        server = here.start(port, here.data / "bench-publish.log")
        try:
            if self.kind == "r":
                self._publish_by_the_package(origin)
            else:
                headers = here.headers(origin)
                for model in self.models:
                    publish(origin, headers, **self.service(Boston.read(home.boston), model))
        finally:
            server.stop()
        return {**versions, "gristmill": here.version()}

    def _publish_by_the_package(self, origin: str) -> None:
        """Install the R package and publish with it, as its users do. Raises Unavailable."""
        with tempfile.TemporaryDirectory(prefix="gristmill-bench-r-") as library:
            told = {
                "GRISTMILL_URL": origin,
                "GRISTMILL_PASSWORD": self.installation.password,
                "R_LIBS": library,
            }
            for command in (
                ["R", "CMD", "INSTALL", "--no-docs", f"--library={library}", str(R_PACKAGE)],
                ["Rscript", str(Path(__file__).with_name("publish.R")), str(self.folder), *self.models],
            ):
                done = subprocess.run(
                    command, env={**os.environ, **told}, capture_output=True, text=True, check=False
                )
                if done.returncode:
                    raise Unavailable(f"{' '.join(command[:3])}: {done.stderr[-500:]}")

    def versions(self) -> dict[str, str]:
        """Of what fitted the models."""
        found: dict[str, str] = json.loads((self.folder / "versions.json").read_text())
        return found

    def service(self, boston: Boston, model: str) -> dict[str, Any]:
        """What `publish` takes for one of the models."""
        inputs: dict[str, Any] = {"name": "inputData", "type": "data.frame"}
        if self.kind in {"array", "batch"}:
            inputs |= {"columns": list(boston.columns), "form": "array"}
        request: dict[str, Any] = {
            "code": "prediction = model.predict(inputData)",
            "inputParameterDefinitions": [inputs],
            "outputParameterDefinitions": OUTPUT,
        }
        form = "frame" if self.kind == "frame" else "array"
        file = self.folder / f"{model}-{form}.dill"
        if self.kind == "batch":
            request["batchable"] = True
        name = f"{self.kind}-{model}"
        return {"name": name, "runtime": self.language, "model": file.read_bytes(), "request": request}

    def command(self, home: Home, port: int) -> list[str]:
        return self.installation.command(port)

    def env(self, port: int) -> dict[str, str]:
        return self.installation.env()

    def headers(self, origin: str) -> Mapping[str, str]:
        return self.installation.headers(origin)

    def close(self) -> None:
        self.installation.remove()

    def path(self, model: str) -> str:
        return f"/api/{self.kind}-{model}/{VERSION}"
