"""From the example's folder to three images in a registry that wants a login."""

from __future__ import annotations

from pathlib import Path

from gristmill import __version__
from tests.cluster.boston import Boston, broken
from tests.cluster.commands import gristmill
from tests.cluster.registry import Registry
from tests.cluster.report import Report
from tests.cluster.scene import REPOSITORY
from tests.containers import Docker

__all__ = ["play"]


def play(boston: Boston, registry: Registry, docker: Docker, report: Report, work: Path) -> None:
    """Steps of the first chapter."""
    folders = {**boston.folders, "broken": broken(work, boston.folders["1.0.0"])}
    with report.step("scripts/image r: Gristmill's own image"):
        docker.build("r", tag=f"gristmill:{__version__}")
    for tag, folder in folders.items():
        with report.step(f"gristmill build: boston:{tag}"):
            gristmill("build", folder, "--tag", f"boston:{tag}", environment=docker.environment)
    for tag in folders:
        with report.step(f"gristmill push: boston:{tag}") as step:
            step.note(_push(f"boston:{tag}", registry, docker))


def _push(image: str, registry: Registry, docker: Docker) -> str:
    """What it says of the image's digest."""
    done = gristmill(
        *("push", image, f"{registry.address}/{REPOSITORY.partition('/')[0]}"),
        *("--username", registry.username, "--password-stdin"),
        input=registry.password + "\n",
        environment=docker.environment,
    )
    return next(line.strip() for line in done.said.splitlines() if "sha256:" in line)
