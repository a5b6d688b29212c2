"""An image of this machine into a registry: log in, tag, push, and see that it is there."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gristmill.deploy.builders import Builder, choose, daemon_trouble
from gristmill.deploy.credentials import Login, stored_login
from gristmill.deploy.errors import (
    DigestMismatch,
    NoSuchImage,
    PushFailed,
    RegistryForbids,
    RegistryLoginRefused,
    RegistryUnreachable,
)
from gristmill.deploy.images import ImageReference, Target
from gristmill.deploy.registry import RegistryClient
from gristmill.deploy.registry_auth import Credentials, Standard
from gristmill.deploy.running import Done, Tell, run
from gristmill.errors import GristmillError

__all__ = ["Pushed", "push"]

_DIGEST = re.compile(r"digest: (sha256:[a-f0-9]{64})")
#: Of docker's own folder: how it finds its daemon and its plugins, which a folder of ours has to know too.
_KEPT_FOLDERS = ("contexts", "cli-plugins")
_KEPT_KEYS = ("currentContext", "proxies", "HttpHeaders", "cliPluginsExtraDirs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """An image in a registry."""

    image: ImageReference  #: by tag
    digest: str

    @property
    def exact(self) -> ImageReference:
        """By digest: this content for ever, whatever becomes of the tag."""
        return self.image.by_digest(self.digest)


def push(
    image: ImageReference | str,
    target: Target | str,
    *,
    login: Login | None = None,
    save: bool = False,
    insecure: bool = False,
    builder: Builder | None = None,
    credentials: Credentials | None = None,
    tell: Tell | None = None,
) -> Pushed:
    """Push it. Without `login`, what docker or podman keep is used; with `save` they keep this one.

    `credentials` go before the login where the registry itself is asked what it holds.
    """
    image = ImageReference.parse(image).tagged() if isinstance(image, str) else image
    target = Target.parse(target) if isinstance(target, str) else target
    builder = builder or choose()
    wanted = target.of(image)
    if builder.image(str(image)) is None:
        raise NoSuchImage(
            f"{builder.program} has no image {image} on this machine: gristmill build makes one, "
            f"`{builder.program} images` lists what there is"
        )
    with _kept_login(login, save) as keep, tempfile.TemporaryDirectory(prefix="gristmill-push-") as scratch:
        if login is not None:
            _log_in(builder, target.registry, login, keep, insecure=insecure)
        _done(builder, wanted, run(builder.tag_command(str(image), wanted), environment=builder.environment))
        digestfile = Path(scratch, "digest")
        command = builder.push_command(wanted, keep, digestfile, insecure=insecure)
        done = run(command, tell=tell, environment=builder.environment)
        _done(builder, wanted, done)
        digest = _digest(wanted, done, digestfile)
    known = login or stored_login(target.registry)
    _verify(wanted, digest, credentials or Standard(login=known), insecure=insecure)
    return Pushed(image=wanted, digest=digest)


@contextmanager
def _kept_login(login: Login | None, save: bool) -> Iterator[Path | None]:
    """A folder for the login that is gone afterwards; None where the builder's own is used."""
    if login is None or save:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="gristmill-login-") as folder:
        keep = Path(folder)
        own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
        for name in _KEPT_FOLDERS:
            if (own / name).is_dir():
                (keep / name).symlink_to((own / name).resolve())
        try:
            said = json.loads((own / "config.json").read_text("utf-8"))
        except (OSError, ValueError):
            said = {}
        kept = {key: said[key] for key in _KEPT_KEYS if key in said} if isinstance(said, dict) else {}
        (keep / "config.json").write_text(json.dumps(kept), "utf-8")
        yield keep


def _log_in(builder: Builder, registry: str, login: Login, keep: Path | None, *, insecure: bool) -> None:
    command = builder.login_command(registry, login.username, keep, insecure=insecure)
    done = run(command, secret=login.password, environment=builder.environment)
    if done.code != 0:
        raise _why(
            builder,
            registry,
            done,
            f"{registry} does not take the account {login.username!r} or its password",
        )


def _done(builder: Builder, wanted: ImageReference, done: Done) -> None:
    if done.code != 0:
        registry = wanted.registry or ""
        login = (
            f"{registry} wants a login, or another one, for {wanted.repository}: --username with "
            "--password-stdin, GRISTMILL_REGISTRY_USERNAME and GRISTMILL_REGISTRY_PASSWORD, or "
            f"`{builder.program} login {registry}`"
        )
        raise _why(builder, registry, done, login)


_LOGIN = (
    "unauthorized",
    "no basic auth credentials",
    "authentication required",
    "401",
    "invalid username/password",
)
_FORBIDDEN = ("denied", "403 Forbidden", "insufficient_scope")
_TLS = ("x509:", "certificate", "tls: ")
_PLAIN = ("server gave HTTP response to HTTPS client",)
_AWAY = (
    *("connection refused", "no such host", "i/o timeout", "network is unreachable", "no route to host"),
    *("Client.Timeout", "context deadline exceeded", "Temporary failure in name resolution"),
)


def _why(builder: Builder, registry: str, done: Done, login: str) -> GristmillError:
    """The error in a builder's words. Order matters: who cannot be reached does not take a login either."""
    text, said = done.text, done.tail(3)
    if error := daemon_trouble(builder.program, done):
        return error
    if any(mark in text for mark in _PLAIN):
        how = (
            "docker's daemon has to be told by `insecure-registries` in /etc/docker/daemon.json"
            if builder.program == "docker"
            else "--insecure allows that"
        )
        return RegistryUnreachable(f"{registry} does not speak TLS: {how}\n{said}")
    if any(mark in text for mark in _TLS):
        return RegistryUnreachable(
            f"the certificate of {registry} is not one that {builder.program} trusts: put that of its "
            f"authority into /etc/docker/certs.d/{registry}/ca.crt (podman: /etc/containers/certs.d)\n{said}"
        )
    if any(mark in text for mark in _AWAY):
        return RegistryUnreachable(f"{registry} cannot be reached\n{said}")
    if any(mark in text for mark in _LOGIN):
        return RegistryLoginRefused(f"{login}\n{said}")
    if any(mark in text for mark in _FORBIDDEN):
        return RegistryForbids(f"{registry}: the account has no right to push there\n{said}")
    return PushFailed(f"{builder.program} could not push to {registry}\n{done.tail()}")


def _digest(wanted: ImageReference, done: Done, digestfile: Path) -> str:
    if digestfile.is_file():
        return digestfile.read_text().strip()
    found = _DIGEST.findall(done.text)
    if not found:
        raise PushFailed(f"{wanted} was pushed, and no digest was said\n{done.tail()}")
    return str(found[-1])


def _verify(wanted: ImageReference, digest: str, credentials: Credentials, *, insecure: bool) -> None:
    """Ask the registry what the tag stands for, and compute the digest of what comes."""
    assert wanted.registry is not None
    with RegistryClient(wanted.registry, credentials=credentials, insecure=insecure) as client:
        tag = replace(wanted, digest=None).tag or "latest"
        held = client.manifest(wanted.repository, tag).digest
    if held != digest:
        raise DigestMismatch(
            f"{wanted} in the registry is {held}, and what was pushed is {digest}: somebody else may have "
            f"pushed the tag at the same time. What you pushed is {wanted.by_digest(digest)}"
        )
