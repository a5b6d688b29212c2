"""References to images, by the grammar that docker, podman and every registry share.

https://github.com/distribution/reference/blob/v0.6.0/reference.go: `[host[:port]/]path[:tag][@digest]`. What
has passed here holds no blank, quote or newline and does not begin with a dash: it may stand in a command and
in a Containerfile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gristmill.deploy.errors import BadImageName

__all__ = ["ImageReference", "Target", "is_component"]

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_COMPONENT = re.compile(_PART)
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
_LONGEST = 255  #: of host and path together


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """One image: `registry.example.com:5000/models/boston:1.0.0`."""

    registry: (
        str | None
    )  #: host and port; None where the name has none, which is a local name or Docker Hub's
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read a reference; BadImageName says which part of it is wrong."""
        name, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise _bad(text, "what follows @ is no digest, such as sha256: and 64 hexadecimal digits")
        head, slash, rest = name.partition("/")
        registry = head if slash and _is_host(head) else None
        path, colon, tag = (rest if registry else name).partition(":")
        if registry is not None and not _HOST.fullmatch(registry):
            raise _bad(text, f"{registry!r} is no host, or host:port")
        if colon and not _TAG.fullmatch(tag):
            raise _bad(text, f"its tag {_cut(tag)} may hold letters, digits and _.- , 128 of them at most")
        if not _PATH.fullmatch(path):
            raise _bad(text, "a name is of lower case letters, digits and single . _ - between them")
        if len(registry or "") + len(path) > _LONGEST:
            raise _bad(text, f"a name has at most {_LONGEST} characters")
        return cls(registry=registry, repository=path, tag=tag or None, digest=digest or None)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        """Without tag and digest."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    @property
    def short_name(self) -> str:
        """The last part of the path."""
        return self.repository.rpartition("/")[2]

    def tagged(self, tag: str = "latest") -> ImageReference:
        """The same with a tag, where it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=tag)

    def by_digest(self, digest: str) -> ImageReference:
        """The same name, at exactly this content."""
        return replace(self, tag=None, digest=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an image is pushed: `REGISTRY/path:tag` is its name, to `REGISTRY[/folder]` its own is added.

    A folder that ends with the image's own name is taken for the full name: nobody means boston/boston.
    """

    registry: str
    path: str | None = None
    tag: str | None = None  #: given only with a path, which is then a repository

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read it; BadImageName says what is wrong."""
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text):
            raise _bad(
                text, "a registry is named without https://, as in registry.example.com/models", "target"
            )
        host, slash, path = text.partition("/")
        if not _HOST.fullmatch(host) or not (_is_host(host) or not slash):
            raise _bad(
                text, "it begins with the registry's host, as in registry.example.com/models", "target"
            )
        if not path:
            return cls(registry=host)
        found = ImageReference.parse(text.rstrip("/"))
        if found.digest:
            raise _bad(text, "a digest is found out by pushing, and cannot be chosen", "target")
        return cls(registry=host, path=found.repository, tag=found.tag)

    def of(self, image: ImageReference) -> ImageReference:
        """The full name there of this image."""
        parts = [self.path] if self.path else []
        if not self.tag and not (self.path or "").endswith(f"/{image.short_name}"):
            parts.append(image.short_name)
        tag = self.tag or image.tag or "latest"
        return ImageReference.parse(f"{self.registry}/{'/'.join(parts)}:{tag}")


def is_component(text: str) -> bool:
    """Whether it may be one part of an image's path, and so the name of a bundle."""
    return bool(_COMPONENT.fullmatch(text)) and len(text) <= 128


def _is_host(head: str) -> bool:
    """What comes before the first slash is a host only if it cannot be a folder."""
    return "." in head or ":" in head or head == "localhost" or head.lower() != head


def _bad(text: str, why: str, what: str = "image name") -> BadImageName:
    return BadImageName(f"the {what} {_cut(text)} cannot be: {why}")


def _cut(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:100]}…")
