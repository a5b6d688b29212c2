"""The programs that build and push images: which of them is there, and how each wants to be asked."""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gristmill.deploy.errors import BuilderForbidden, BuilderUnavailable, NoBuilder
from gristmill.deploy.images import ImageReference
from gristmill.deploy.registry_auth import is_loopback
from gristmill.deploy.running import Done, asked

__all__ = ["Builder", "LocalImage", "Program", "choose", "daemon_trouble", "whats_wrong"]


class Program(enum.StrEnum):
    """A builder by the name of its program, in the order in which they are tried."""

    DOCKER = "docker"
    PODMAN = "podman"
    BUILDAH = "buildah"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalImage:
    """An image on this machine."""

    id: str  #: `sha256:` and 64 digits
    size: str  #: unpacked, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A program, and the environment in which it runs."""

    program: Program
    environment: Mapping[str, str] | None = None

    def build_command(
        self,
        context: str,
        tag: str,
        *,
        iidfile: str | None,
        arguments: Sequence[str] = (),
        network: str | None = None,
        epoch: int | None = None,
    ) -> list[str]:
        """The command that builds `context` and calls the result `tag`; `epoch`: the time of its layers."""
        command = [str(self.program), "build"]
        if self.program is Program.DOCKER:
            command.append("--force-rm")  # no containers of failed steps
        else:
            command += ["--format", "docker"]  # the OCI format has no health check
            if self.program is Program.BUILDAH:
                command.append(
                    "--layers"
                )  # keep those of steps, as the others do: packages are not built anew
            if epoch is not None:  # docker takes it from an argument
                command += ["--timestamp", str(epoch)]
        for argument in arguments:
            command += ["--build-arg", argument]
        if network:
            command += ["--network", network]
        command += ["--file", f"{context}/Containerfile", "--tag", tag]
        if iidfile:
            command += ["--iidfile", iidfile]
        return [*command, context]

    def image(self, name: str) -> LocalImage | None:
        """What this machine has by that name."""
        if self.program is Program.BUILDAH:
            command = ["buildah", "images", "--no-trunc", "--format", "{{.ID}} {{.Size}}", name]
        else:
            command = [str(self.program), "image", "inspect", "--format", "{{.Id}} {{.Size}}", name]
        done = asked(command, environment=self.environment)
        if done.code != 0 or not done.lines:
            return None
        id_, _, size = (part.strip() for part in done.lines[-1].partition(" "))
        return LocalImage(
            id=id_ if id_.startswith("sha256:") else f"sha256:{id_}",
            size=f"{int(size) / 1e6:,.0f} MB" if size.isdigit() else size,
        )

    def tag_command(self, image: str, target: ImageReference) -> list[str]:
        """The command that gives an image another name."""
        return [str(self.program), "tag", image, str(target)]

    def login_command(self, registry: str, username: str, keep: Path | None, *, insecure: bool) -> list[str]:
        """The command that logs in, with the password on its input. `keep`: a folder to hold the login."""
        command = [*self._with(keep, "login"), *self._tls(registry, insecure)]
        return [*command, "--username", username, "--password-stdin", registry]

    def push_command(
        self, target: ImageReference, keep: Path | None, digestfile: Path, *, insecure: bool
    ) -> list[str]:
        """The command that pushes; where it can, it writes the digest into a file."""
        command = [*self._with(keep, "push"), *self._tls(target.registry or "", insecure)]
        if self.program is not Program.DOCKER:
            command += ["--digestfile", str(digestfile)]
        return [*command, str(target)]

    def _with(self, keep: Path | None, verb: str) -> list[str]:
        if self.program is Program.DOCKER:
            return ["docker", *(["--config", str(keep)] if keep else []), verb]
        return [str(self.program), verb, *(["--authfile", str(keep / "auth.json")] if keep else [])]

    def _tls(self, registry: str, insecure: bool) -> list[str]:
        """Docker's daemon has its own settings, and needs no TLS for this machine; the others are told so."""
        if self.program is Program.DOCKER:
            return []
        return (
            ["--tls-verify=false"]
            if insecure or is_loopback(urlsplit(f"//{registry}").hostname or "")
            else []
        )


def choose(wanted: Program | None = None, *, check: bool = True) -> Builder:
    """The builder that is wanted, or the first that works; the error says how to come by one."""
    there = [program for program in Program if shutil.which(program)]
    if wanted is not None and wanted not in there:
        raise NoBuilder(f"there is no program {wanted} on the PATH{_have(there)}")
    if not there:
        raise NoBuilder(
            "no docker, podman or buildah on the PATH, and an image needs one of them. Debian and Ubuntu "
            "have podman (apt-get install podman) and docker (docker.io); Docker Desktop and Podman Desktop "
            "are for Windows and macOS. On a machine without, --context DIR writes what another one can build"
        )
    candidates = [wanted] if wanted is not None else there
    failures = []
    for program in candidates:
        if not check:
            return Builder(program=program)
        error = whats_wrong(program, asked([str(program), "info"]))
        if error is None:
            return Builder(program=program)
        failures.append(error)
    raise failures[0]


def whats_wrong(program: Program, done: Done) -> BuilderUnavailable | BuilderForbidden | None:
    """The error in the answer to `info`; None if the builder works."""
    if done.code == 0:
        return None
    return daemon_trouble(program, done) or BuilderUnavailable(f"{program} does not work here: {_last(done)}")


def daemon_trouble(program: Program, done: Done) -> BuilderUnavailable | BuilderForbidden | None:
    """The error in a command's output, if it is about the way to docker's daemon."""
    text = done.text
    if "permission denied" in text and ("daemon" in text or "docker.sock" in text or "connect" in text):
        return BuilderForbidden(
            f"{program} does not let you in: {_last(done)}\nBe a member of the group docker "
            "(sudo usermod -aG docker $USER, then log in anew), or use podman: --builder podman"
        )
    if "Cannot connect to the Docker daemon" in text or "Is the docker daemon running" in text:
        host = os.environ.get("DOCKER_HOST")
        at = f" at DOCKER_HOST={host}" if host else ""
        return BuilderUnavailable(
            f"docker is installed, and its daemon does not answer{at}: start it (sudo systemctl start "
            "docker, or Docker Desktop), or use --builder podman"
        )
    return None


def _have(there: Sequence[Program]) -> str:
    return f"; there is {' and '.join(there)}" if there else ", and no other builder either"


def _last(done: Done) -> str:
    lines = [line.strip() for line in done.lines if line.strip()]
    return next((line for line in lines if "permission denied" in line), lines[-1] if lines else "no output")
