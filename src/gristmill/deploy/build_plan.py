"""What would be built from a folder: read, checked, and written down for a builder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gristmill.deploy.builders import Builder
from gristmill.deploy.containerfile import BUNDLE, INSTALLER, REQUIREMENTS, containerfile
from gristmill.deploy.context import ContextFile, epoch, files_of, lay_out
from gristmill.deploy.errors import BadFolder, BadProject
from gristmill.deploy.images import ImageReference
from gristmill.deploy.project import PROJECT_FILE, Options, Project, read_project
from gristmill.deploy.requirements import read_requirements

__all__ = ["BuildPlan", "plan", "write_context"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """All that decides about an image."""

    folder: Path
    project: Project
    language: str
    base: str
    tag: ImageReference
    files: tuple[ContextFile, ...]
    publishes: tuple[str, ...]  #: scripts in the order in which they run at start
    requirements: tuple[str, ...]
    r_repository: str | None
    epoch: int | None  #: of the image and all that it adds, where SOURCE_DATE_EPOCH is set
    network: str | None  #: the builder's, for fetching packages

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(entry.size for entry in self.files)

    def command(self, builder: Builder, context: str, *, iidfile: str | None = None) -> list[str]:
        """What builds it from a context that has been written."""
        arguments = [f"R_REPOS={self.r_repository}"] if self.r_repository else []
        arguments += [f"SOURCE_DATE_EPOCH={self.epoch}"] if self.epoch is not None else []
        return builder.build_command(
            context,
            str(self.tag),
            iidfile=iidfile,
            arguments=arguments,
            network=self.network,
            epoch=self.epoch,
        )

    def containerfile(self) -> str:
        """Its text."""
        return containerfile(self.project, self.base, requirements=bool(self.requirements))


def plan(
    folder: Path | str,
    *,
    tag: str | None = None,
    options: Options | None = None,
    r_repository: str | None = None,
    network: str | None = None,
) -> BuildPlan:
    """Read and check the folder; nothing is written or run."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BadFolder(f"{folder} is not a folder")
    project = read_project(folder, options or Options())
    files = files_of(folder, project)
    names = [entry.path for entry in files]
    publishes = _publishes(project, names, folder)
    language = project.language_of(publishes)
    if project.r_packages and language != "r":
        raise BadProject(f"r-packages are given, and the language is {language}")
    return BuildPlan(
        folder=folder,
        project=project,
        language=language,
        base=project.base_of(language),
        tag=_tag(tag or project.name),
        files=tuple(files),
        publishes=publishes,
        requirements=tuple(_requirements(folder, project)),
        r_repository=_r_repository(r_repository),
        epoch=epoch() if os.environ.get("SOURCE_DATE_EPOCH") else None,
        network=_network(network),
    )


def write_context(plan: BuildPlan, target: Path) -> None:
    """Write what a builder needs into an empty folder."""
    seconds = epoch()
    try:
        lay_out(list(plan.files), target / BUNDLE, seconds)
        if plan.project.publish_is_given:
            (target / BUNDLE / PROJECT_FILE).write_text(plan.project.toml(), "utf-8")
        if plan.requirements:
            (target / REQUIREMENTS).write_text("".join(f"{line}\n" for line in plan.requirements), "utf-8")
        if plan.project.r_packages:
            installer = resources.files("gristmill.deploy").joinpath(INSTALLER).read_bytes()
            (target / INSTALLER).write_bytes(installer)
        (target / "Containerfile").write_text(plan.containerfile(), "utf-8")
    except OSError as error:
        raise BadFolder(f"the build context cannot be written: {error}") from None
    for path in [*target.iterdir(), target / BUNDLE / PROJECT_FILE]:
        if path.is_file():
            path.chmod(0o644)
            os.utime(path, (seconds, seconds))
    os.utime(target / BUNDLE, (seconds, seconds))


def _publishes(project: Project, names: list[str], folder: Path) -> tuple[str, ...]:
    """What the server will publish at start, as it will find it."""
    if missing := [script for script in project.publish if script not in names]:
        raise BadProject(
            f"{missing[0]} is to be published, and is not among the files that go into the image: it has to "
            f"be in {folder}, neither hidden nor ignored, and in `files` if {PROJECT_FILE} has that"
        )
    found = project.publish or tuple(
        name
        for name in names
        if "/" not in name and (name.endswith((".gm", ".R", ".r", ".py")) or name == "service.toml")
    )
    if not found:
        raise BadProject(
            f"{folder} has nothing to publish: no .R or .py script, no .gm file and no service.toml. "
            f"Name it by `publish` in {PROJECT_FILE}, or by --publish"
        )
    return found


def _tag(text: str) -> ImageReference:
    tag = ImageReference.parse(text).tagged()
    if tag.digest:
        raise BadProject(f"{text!r}: an image gets its digest by being built; give it a tag")
    return tag


def _requirements(folder: Path, project: Project) -> list[str]:
    """The named file, or requirements.txt where there is one."""
    name = project.requirements or REQUIREMENTS
    path = folder / name
    if not path.is_file():
        if project.requirements:
            raise BadProject(f"requirements: there is no file {name} in {folder}")
        return []
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadFolder(f"{name} is a link that leaves the folder: copy the file")
    return read_requirements(path, name)


def _r_repository(address: str | None) -> str | None:
    good = r"(?:https?|file)://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]{1,2000}"
    if address is not None and not re.fullmatch(good, address):
        raise BadProject(f"{address[:200]!r} is not the address of a repository of R packages")
    return address


def _network(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}", name):
        raise BadProject(
            f"{name[:80]!r} is not the name of a network: host, none, default, or one of the builder's"
        )
    return name
