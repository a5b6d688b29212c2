"""Realtime services as a system, and the peers that only they are compared with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import httpx

from .boston import Boston
from .gristmill import VERSION, Gristmill, Installation
from .home import HERE, PEERS, Home, Unavailable
from .processes import free_port
from .systems import InEnvironment

__all__ = ["BentoMl", "LitServe", "Realtime"]


class BentoMl(InEnvironment):
    """`bentoml serve` with its defaults."""

    name, title, environment = "bentoml", "BentoML", "bentoml"
    ready = "/readyz"

    def command(self, home: Home, port: int) -> list[str]:
        program = str(self.python.parent / "bentoml")
        place = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(PEERS)]
        return [program, "serve", "bentoml_models:Models", *place]

    def env(self, port: int) -> dict[str, str]:
        return {**os.environ, "MODELS": str(self.folder), "BENTOML_DO_NOT_TRACK": "True"}

    def path(self, model: str) -> str:
        return f"/{model}"

    def body(self, boston: Boston, rows: int) -> bytes:
        return boston.by_row(rows)


class LitServe(InEnvironment):
    """LitServe with its defaults."""

    name, title, environment = "litserve", "LitServe", "litserve"

    def command(self, home: Home, port: int) -> list[str]:
        return [str(self.python), str(PEERS / "litserve_models.py"), str(self.folder), str(port)]

    def path(self, model: str) -> str:
        return f"/{model}"

    def body(self, boston: Boston, rows: int) -> bytes:
        return boston.by_row(rows)


class Realtime(Gristmill):
    """Realtime services of both models, of Python or of R."""

    def __init__(self, language: str, installation: Installation) -> None:
        super().__init__("r" if language == "R" else "frame", installation)
        self.language = language
        self.name = "gristmill-r" if language == "R" else "gristmill"
        self.title = f"Gristmill realtime, {language} models"

    def prepare(self, home: Home) -> dict[str, str]:
        here = self.installation
        self.python = here.python
        self.folder = home.r_models if self.language == "R" else home.models("gristmill", here.python)
        versions = self.versions()
        self._serialize(home)
        home.say(f"Publishing {self.title}")
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        server = here.start(port, here.data / "bench-publish.log")
        try:
            bearer = {"Authorization": here.headers(origin)["Authorization"]}
            for model in self.models:
                file = {"model": (f"{model}.blob", (self.folder / f"{model}.blob").read_bytes())}
                path = f"/realtime-services/{self.name}-{model}/{VERSION}"
                answer = httpx.post(origin + path, files=file, headers=bearer, timeout=120)
                if not answer.is_success:
                    raise Unavailable(f"{path} answered {answer.status_code}: {answer.text[:300]}")
        finally:
            server.stop()
        return {**versions, "gristmill": here.version()}

    def _serialize(self, home: Home) -> None:
        """Anew each time: it is the code under measurement that makes the files."""
        if self.language == "Python":
            command = [str(self.python), str(PEERS / "serialize.py"), str(home.boston), str(self.folder)]
        else:
            library = install_package(home, self.installation.data / "r-library")
            command = ["Rscript", str(PEERS / "serialize.R"), str(self.folder), str(library)]
        home.run(command, f"the {self.language} models could not be serialized")

    def path(self, model: str) -> str:
        return f"/api/{self.name}-{model}/{VERSION}"


def install_package(home: Home, library: Path) -> Path:
    """A library with the R package of this source tree. Raises Unavailable."""
    if shutil.which("R") is None:
        raise Unavailable("there is no R")
    library.mkdir(exist_ok=True)
    install = ["R", "CMD", "INSTALL", "--no-docs", "--no-test-load", f"--library={library}"]
    home.run([*install, str(HERE.parent / "r")], "the R package could not be installed")
    return library
