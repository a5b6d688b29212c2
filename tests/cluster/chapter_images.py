"""From the example's folder to three images in a registry that wants a login."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.cluster.boston import Boston, broken
from tests.cluster.commands import gristmill, run
from tests.cluster.registry import Registry
from tests.cluster.report import Report
from tests.cluster.scene import REPOSITORY
from tests.cluster.workshop import ROOT, base_image

__all__ = ["play"]


def play(boston: Boston, registry: Registry, docker: Mapping[str, str], report: Report, work: Path) -> None:
    """`docker`: environment by which the docker command finds its daemon."""
    folders = {**boston.folders, "broken": broken(work, boston.folders["1.0.0"])}
    with report.step("scripts/image r: Gristmill's own image") as step:
        base = base_image(docker)
        done = run([str(ROOT / "scripts" / "image"), "r", "--base", base], environment=docker)
        step.note(done.output.strip().splitlines()[-1])
    for tag, folder in folders.items():
        with report.step(f"gristmill build: boston:{tag}"):
            gristmill("build", folder, "--tag", f"boston:{tag}", environment=docker)
    for tag in folders:
        with report.step(f"gristmill push: boston:{tag}") as step:
            step.note(_push(f"boston:{tag}", registry, docker))


def _push(image: str, registry: Registry, docker: Mapping[str, str]) -> str:
    """What it says of the image's digest."""
    done = gristmill(
        *("push", image, f"{registry.address}/{REPOSITORY.partition('/')[0]}"),
        *("--username", registry.username, "--password-stdin"),
        input=registry.password + "\n",
        environment=docker,
    )
    return next(line.strip() for line in done.said.splitlines() if "sha256:" in line)
