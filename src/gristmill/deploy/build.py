"""From a folder to an image: `plan` says what would be done, `build` does it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gristmill.deploy.build_plan import BuildPlan, plan, write_context
from gristmill.deploy.builders import Builder, choose, daemon_trouble
from gristmill.deploy.errors import BaseImageMissing, BuildFailed
from gristmill.deploy.images import ImageReference
from gristmill.deploy.running import Done, run

__all__ = ["BuildPlan", "Built", "Step", "build", "plan", "write_context"]

#: Called with (step, of how many, line): of the builder's output. Steps are 0 before the first.
Step = Callable[[int, int, str], None]

_STEP = re.compile(r"(?:Step|STEP) (\d+)/(\d+) ?:|#\d+ \[(?:\S+ )?(\d+)/(\d+)\]")
#: What builders say when there is no base to be had.
_NO_BASE = (
    "did not resolve to an alias",
    "failed to do request: Head",
    "failed to resolve reference",
    "failed to resolve source metadata",
    "initializing source docker://",
    "manifest unknown",
    "not found: manifest",
    "pull access denied",
    "registry-1.docker.io",
    "repository does not exist",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An image on this machine."""

    image: ImageReference
    id: str
    size: str  #: unpacked, for people


def build(
    plan: BuildPlan, *, builder: Builder | None = None, context: Path | None = None, step: Step | None = None
) -> Built:
    """Build the image of a plan; `context`: an empty folder for what the builder gets, if to be kept."""
    builder = builder or choose()
    if plan.project.base is None and builder.image(plan.base) is None:
        raise _no_base(plan.base)
    with tempfile.TemporaryDirectory(prefix="gristmill-build-") as scratch:
        place = context or Path(scratch, "context")
        place.mkdir(exist_ok=True)
        write_context(plan, place)
        iidfile = Path(scratch, "id")
        command = plan.command(builder, str(place), iidfile=str(iidfile))
        done = run(command, tell=_counting(step), environment=builder.environment)
        if done.code != 0:
            raise _why(builder, plan, done)
        id_ = iidfile.read_text().strip()
    found = builder.image(id_)
    if found is None:
        raise BuildFailed(f"{builder.program} says it has built {plan.tag}, and does not know {id_}")
    return Built(image=plan.tag, id=found.id, size=found.size)


def _counting(step: Step | None) -> Callable[[str], None] | None:
    """Steps as docker's builders, podman and buildah count them."""
    if step is None:
        return None
    at = [0, 0]

    def tell(line: str) -> None:
        if found := _STEP.match(line):
            at[:] = [int(each) for each in found.groups() if each]
        step(at[0], at[1], line)

    return tell


def _why(builder: Builder, plan: BuildPlan, done: Done) -> Exception:
    text = done.text
    if error := daemon_trouble(builder.program, done):
        return error
    step = [found for line in done.lines if (found := _STEP.match(line))]
    # Whatever ends there, and in BuildKit before any step, is about the base.
    if ("FROM" in step[-1].string) if step else any(mark in text for mark in _NO_BASE):
        return _no_base(plan.base, done.tail(3))
    last = step[-1].string if step else "the start"
    return BuildFailed(f"{builder.program} failed at {last}\n{done.tail()}")


def _no_base(base: str, said: str = "") -> BaseImageMissing:
    how = (
        f"Make Gristmill's own images with scripts/image {base.rpartition('-')[2]} in a checkout of Gristmill"
        if base.startswith("gristmill:")
        else "Pull it, or log in to its registry"
    )
    text = f"there is no image {base} to build upon. {how}, or name another by --base"
    return BaseImageMissing(f"{text}\n{said}" if said else text)
