"""Requests to a registry: TLS or not, bodies with a limit, pages that stay where they should."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gristmill import __version__
from gristmill.deploy.errors import RegistryRefused, RegistryUnreachable
from gristmill.deploy.registry_auth import is_loopback

if TYPE_CHECKING:
    import httpx

__all__ = ["Answer", "Wire"]

_LARGEST = 4 * 1024 * 1024  #: the specification asks registries to take manifests up to this
_HUB = {"docker.io", "index.docker.io"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer."""

    status: int
    headers: httpx.Headers
    body: bytes
    url: str


class Wire:
    """One registry's address, and whether it speaks TLS: found out with the first request."""

    def __init__(
        self, registry: str, *, insecure: bool, timeout: float, transport: httpx.BaseTransport | None
    ) -> None:
        import httpx

        self.registry = registry
        self._host = "registry-1.docker.io" if registry in _HUB else registry
        name = httpx.URL(f"https://{self._host}").host
        self._may_be_plain = insecure or is_loopback(name)
        self._scheme: str | None = None if self._may_be_plain else "https"
        self.client = httpx.Client(
            verify=not insecure,
            timeout=timeout,
            transport=transport,
            follow_redirects=False,
            headers={"User-Agent": f"gristmill/{__version__}"},
        )

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def send(self, method: str, path: str, headers: Mapping[str, str], authorization: str | None) -> Answer:
        """One request; `path` begins with a slash. The first finds out the scheme, without a login."""
        if self._scheme is None:
            self._scheme = self._found_scheme()
        login = {"Authorization": authorization} if authorization else {}
        return self._once(method, f"{self._scheme}://{self._host}{path}", {**headers, **login})

    def next_page(self, answer: Answer, path: str) -> str | None:
        """The path of the next page, by the Link header; RegistryRefused if it leads elsewhere."""
        import httpx

        link = re.search(r'<([^<>]*)>\s*;[^,]*\brel="?next\b', answer.headers.get("link", ""))
        if link is None:
            return None
        base = httpx.URL(answer.url)
        try:
            target = base.join(link[1])
        except httpx.InvalidURL:
            target = httpx.URL("")
        if (target.scheme, target.netloc) != (base.scheme, base.netloc) or target.userinfo:
            raise RegistryRefused(f"{self.registry} continues its list at another host: {link[1][:200]!r}")
        return target.raw_path.decode("ascii")

    def _found_scheme(self) -> str:
        """TLS if it speaks that; else none. Only where that is allowed, and before a password is sent."""
        import httpx

        try:
            with self.client.stream("GET", f"https://{self._host}/v2/"):
                return "https"
        except httpx.ConnectError as error:
            if _speaks_no_tls(error):
                return "http"
            raise self._unreachable(error) from None
        except httpx.RemoteProtocolError:
            return "http"
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    @contextmanager
    def told(self) -> Iterator[None]:
        """What goes wrong on the way to a registry, or to who gives its tokens, as an error of ours."""
        import httpx

        try:
            yield
        except (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None

    def _once(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        with self.told(), self.client.stream(method, url, headers=headers) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _LARGEST:
                    raise RegistryRefused(f"{url}: the answer is larger than {_LARGEST:,} bytes")
            return Answer(status=response.status_code, headers=response.headers, body=bytes(body), url=url)

    def _unreachable(self, error: Exception) -> RegistryUnreachable:
        import httpx

        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return RegistryUnreachable(
                f"the certificate of {self.registry} cannot be checked: {text.partition('] ')[2] or text}. "
                "If it is of an authority of your own, name its file in SSL_CERT_FILE; or say --insecure"
            )
        if _speaks_no_tls(error):
            return RegistryUnreachable(f"{self.registry} does not speak TLS: --insecure allows plain HTTP")
        if isinstance(error, httpx.TimeoutException):
            return RegistryUnreachable(f"{self.registry} did not answer in time")
        return RegistryUnreachable(f"{self.registry} cannot be reached: {text or type(error).__name__}")


def _speaks_no_tls(error: Exception) -> bool:
    text = str(error)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    reason = getattr(cause, "reason", "") or ""
    marks = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_EOF_WHILE_READING")
    return any(mark in reason or mark in text for mark in marks)
