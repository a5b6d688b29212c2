"""A client of registries: what the OCI distribution specification has, as far as shipping needs it.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md. What comes is measured and checked:
bodies have a limit, digests are computed, and pages go on at the same host only.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from gristmill.deploy.errors import (
    BadImageName,
    DigestMismatch,
    RegistryLoginRefused,
    RegistryRefused,
)
from gristmill.deploy.images import ImageReference
from gristmill.deploy.registry_answers import refusal
from gristmill.deploy.registry_auth import Credentials, Standard, challenges
from gristmill.deploy.registry_wire import Answer, Wire

if TYPE_CHECKING:
    import httpx

__all__ = ["Manifest", "RegistryClient"]

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
_PAGE = 100
_MOST_PAGES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What stands behind a tag: an image, or a list of images for several platforms."""

    digest: str  #: computed from the body
    media_type: str
    body: bytes
    document: Mapping[str, Any]

    @property
    def is_index(self) -> bool:
        """Whether it is a list of images."""
        return "manifests" in self.document

    @property
    def size(self) -> int:
        """Bytes to be pulled: config and layers, packed; of an index, its manifests alone."""
        parts = [
            self.document.get("config"),
            *self.document.get("layers", []),
            *self.document.get("manifests", []),
        ]
        return sum(
            part["size"] for part in parts if isinstance(part, dict) and isinstance(part.get("size"), int)
        )


class RegistryClient:
    """Speaks to one registry, `host[:port]`; a context manager."""

    def __init__(
        self,
        registry: str,
        *,
        credentials: Credentials | None = None,
        insecure: bool = False,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        ImageReference.parse(f"{registry}/x")
        self.registry = registry
        self._credentials = credentials or Standard()
        self._wire = Wire(registry, insecure=insecure, timeout=timeout, transport=transport)
        self._authorizations: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._wire.close()

    def ping(self) -> None:
        """Ask whether it is a registry, and takes the login."""
        self._asked("GET", "/v2/", scope="ping")

    def repositories(self) -> Iterator[str]:
        """Names of all repositories; many public registries do not tell them."""
        yield from self._pages(f"/v2/_catalog?n={_PAGE}", "repositories", scope="catalog")

    def tags(self, repository: str) -> list[str]:
        """Tags of a repository, by name."""
        path = f"/v2/{_path(repository)}/tags/list?n={_PAGE}"
        return sorted(self._pages(path, "tags", scope=f"{repository}:pull"))

    def manifest(self, repository: str, reference: str = "latest") -> Manifest:
        """What a tag or a digest stands for; DigestMismatch if a digest is not its own."""
        answer = self._manifest("GET", repository, reference)
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        expected = {answer.headers.get("docker-content-digest"), reference if ":" in reference else None} - {
            None
        }
        if wrong := expected - {digest}:
            raise DigestMismatch(
                f"{self.registry}/{repository}:{reference} should be {wrong.pop()}, and what came is {digest}"
            )
        return Manifest(
            digest=digest,
            media_type=answer.headers.get("content-type", "").partition(";")[0].strip(),
            body=answer.body,
            document=_document(answer),
        )

    def digest(self, repository: str, reference: str = "latest") -> str:
        """The digest that a tag stands for now."""
        said = self._manifest("HEAD", repository, reference).headers.get("docker-content-digest", "")
        return said if _DIGEST.fullmatch(said) else self.manifest(repository, reference).digest

    def delete(self, repository: str, digest: str) -> None:
        """Delete an image, and so all its tags; layers go when the registry collects garbage."""
        if not _DIGEST.fullmatch(digest):
            raise BadImageName(f"{digest[:100]!r} is no digest: images are deleted by digest")
        path = f"/v2/{_path(repository)}/manifests/{digest}"
        self._asked("DELETE", path, scope=f"{repository}:delete")

    def _manifest(self, method: str, repository: str, reference: str) -> Answer:
        ImageReference.parse(f"x/x@{reference}" if ":" in reference else f"x/x:{reference}")
        path = f"/v2/{_path(repository)}/manifests/{quote(reference, safe=':')}"
        return self._asked(
            method, path, scope=f"{repository}:pull", headers={"Accept": ", ".join(MANIFEST_TYPES)}
        )

    def _pages(self, path: str, key: str, *, scope: str) -> Iterator[str]:
        seen: set[str] = set()
        following: str | None = path
        while following is not None:
            if following in seen or len(seen) >= _MOST_PAGES:
                raise RegistryRefused(f"{self.registry} has no end of pages: {following[:200]}")
            seen.add(following)
            answer = self._asked("GET", following, scope=scope)
            listed = _document(answer).get(key)
            for each in listed if isinstance(listed, list) else []:
                if isinstance(each, str) and each.isprintable():
                    yield each
            following = self._wire.next_page(answer, following)

    def _asked(
        self, method: str, path: str, *, scope: str, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; if a login is asked for, that is answered, once."""
        known = self._authorizations.get(scope)
        answer = self._wire.send(method, path, headers or {}, known)
        if answer.status == 401:
            answer = self._wire.send(method, path, headers or {}, self._authorized(scope, answer))
        if answer.status >= 300:
            raise refusal(answer, self.registry, method, path)
        return answer

    def _authorized(self, scope: str, answer: Answer) -> str:
        asked = challenges(answer.headers.get_list("www-authenticate"))
        for challenge in asked:
            with self._wire.told():
                header = self._credentials.answer(challenge, self._wire.client, self.registry)
            if header is not None:
                self._authorizations[scope] = header
                return header
        if not asked:
            raise RegistryLoginRefused(f"{self.registry} wants a login, and does not say which kind")
        raise RegistryLoginRefused(
            f"{self.registry} wants a login: --username with --password-stdin, GRISTMILL_REGISTRY_USERNAME "
            f"and GRISTMILL_REGISTRY_PASSWORD, or `docker login {self.registry}`"
        )


def _path(repository: str) -> str:
    ImageReference.parse(f"x.example/{repository}")
    if ":" in repository or "@" in repository:
        raise BadImageName(f"{repository!r} is no repository: leave tag and digest out")
    return repository


def _document(answer: Answer) -> Mapping[str, Any]:
    try:
        said = json.loads(answer.body)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise RegistryRefused(
            f"{answer.url} did not answer as a registry does: is there one at this address?"
        )
    return said
