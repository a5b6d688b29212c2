"""The systems that are compared: how each is started, and how it is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from .boston import Boston
from .cases import NO_MODEL
from .home import PEERS, Home, Unavailable
from .load import Request
from .processes import free_port

__all__ = ["MODELS", "Echo", "FastApi", "KServe", "MLServer", "Plumber", "System"]

MODELS = ("linear", "forest")
JSON = {"Content-Type": "application/json"}


class System:
    """A server under measurement. `prepare` comes first, then any number of starts."""

    name: str
    title: str
    language = "Python"
    models: tuple[str, ...] = MODELS
    ready = "/health"
    python: Path  #: the interpreter of a Python system; set by `prepare`
    folder: Path  #: the models fitted by it; set by `prepare`

    def prepare(self, home: Home) -> dict[str, str]:
        """Install what is missing; versions of what runs, by name. Raises Unavailable."""
        raise NotImplementedError

    def command(self, home: Home, port: int) -> list[str]:
        raise NotImplementedError

    def env(self, port: int) -> dict[str, str]:
        return dict(os.environ)

    def headers(self, origin: str) -> Mapping[str, str]:
        """Headers of every call to the server that is up at `origin`."""
        return JSON

    def close(self) -> None:
        """Remove what one run left outside of the cache."""

    def path(self, model: str) -> str:
        raise NotImplementedError

    def body(self, boston: Boston, rows: int) -> bytes:
        return boston.by_column(rows)

    def expected(self, home: Home, model: str, rows: int) -> list[float] | None:
        return home.expected(self.folder, model, rows)

    tolerance = 1e-6

    def request(
        self, home: Home, boston: Boston, origin: str, headers: Mapping[str, str], model: str, rows: int
    ) -> Request:
        return Request(
            url=origin + self.path(model),
            headers=headers,
            body=self.body(boston, rows),
            expected=self.expected(home, model, rows),
            tolerance=self.tolerance,
        )


class InEnvironment(System):
    """A Python peer with a virtual environment of its own."""

    environment: str

    def prepare(self, home: Home) -> dict[str, str]:
        self.python = home.environment(self.environment)
        self.folder = home.models(self.environment, self.python)
        versions: dict[str, str] = json.loads((self.folder / "versions.json").read_text())
        return versions


class Echo(InEnvironment):
    """The floor: no model, no JSON."""

    name, title, environment = "echo", "bare uvicorn echo", "fastapi"
    models = (NO_MODEL,)
    ready = "/"

    def command(self, home: Home, port: int) -> list[str]:
        return [str(self.python), str(PEERS / "echo.py"), str(port)]

    def path(self, model: str) -> str:
        return "/"

    def expected(self, home: Home, model: str, rows: int) -> list[float] | None:
        return None


class FastApi(InEnvironment):
    """The model in the web process; `form` is what the handler makes of the columns: array or frame."""

    environment = "fastapi"

    def __init__(self, form: str) -> None:
        self.form = form
        self.name = "fastapi" if form == "array" else f"fastapi-{form}"
        self.title = f"FastAPI + orjson in process, {form}"

    def command(self, home: Home, port: int) -> list[str]:
        return [
            str(self.python),
            str(PEERS / "fastapi_orjson.py"),
            str(port),
            str(self.folder),
            self.form,
        ]

    def path(self, model: str) -> str:
        return f"/score/{model}"


class KServe(InEnvironment):
    """KServe's `ModelServer` with its defaults."""

    name, title, environment = "kserve", "KServe's Python server", "kserve"
    ready = "/v2/health/ready"

    def command(self, home: Home, port: int) -> list[str]:
        ports = ["--http_port", str(port), "--grpc_port", str(free_port())]
        return [str(self.python), str(PEERS / "kserve_models.py"), str(self.folder), *ports]

    def path(self, model: str) -> str:
        return f"/v1/models/{model}:predict"

    def body(self, boston: Boston, rows: int) -> bytes:
        return boston.by_row(rows)


class MLServer(InEnvironment):
    """Seldon MLServer with its defaults, but debug off; `batching` adds its adaptive batching."""

    environment = "mlserver"
    ready = "/v2/health/ready"

    def __init__(self, batching: Mapping[str, float] | None = None) -> None:
        self.batching = dict(batching or {})
        self.name = "mlserver-batching" if batching else "mlserver"
        self.title = "MLServer with adaptive batching" if batching else "MLServer"

    def command(self, home: Home, port: int) -> list[str]:
        repository = home.folder / self.name
        for model in MODELS:
            (repository / model).mkdir(parents=True, exist_ok=True)
            settings = {
                "name": model,
                "implementation": "mlserver_sklearn.SKLearnModel",
                "parameters": {"uri": str(self.folder / f"{model}-array.joblib"), "version": "v1"},
                **self.batching,
            }
            (repository / model / "model-settings.json").write_text(json.dumps(settings))
        return [str(self.python.parent / "mlserver"), "start", str(repository)]

    def env(self, port: int) -> dict[str, str]:
        return {
            **os.environ,
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(port),
            "MLSERVER_GRPC_PORT": str(free_port()),
            "MLSERVER_METRICS_PORT": str(free_port()),
            "MLSERVER_DEBUG": "false",
        }

    def path(self, model: str) -> str:
        return f"/v2/models/{model}/infer"

    def body(self, boston: Boston, rows: int) -> bytes:
        return boston.tensor(rows)


class Plumber(System):
    """R's plumber: one R process, its own JSON with four digits."""

    name, title, language = "plumber", "plumber", "R"
    tolerance = 1e-4

    def prepare(self, home: Home) -> dict[str, str]:
        self.folder = home.r_models
        versions: dict[str, str] = json.loads((self.folder / "versions.json").read_text())
        for package in ("plumber", "randomForest"):
            if package not in versions:
                raise Unavailable(f"R has no {package} (Debian: r-cran-{package.lower()})")
        return versions

    def command(self, home: Home, port: int) -> list[str]:
        return ["Rscript", str(PEERS / "plumber.R"), str(self.folder), str(port)]

    def path(self, model: str) -> str:
        return f"/{model}"
