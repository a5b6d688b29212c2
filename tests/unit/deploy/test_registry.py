"""The client against registries that misbehave; a real one is in tests/integration."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Callable, Iterator

import httpx
import pytest

from gristmill.deploy.credentials import Login
from gristmill.deploy.errors import (
    BadImageName,
    DigestMismatch,
    NotInRegistry,
    RegistryBusy,
    RegistryCannot,
    RegistryForbids,
    RegistryLoginRefused,
    RegistryRefused,
    RegistryUnreachable,
)
from gristmill.deploy.registry import RegistryClient
from gristmill.deploy.registry_auth import Challenge, Credentials, Standard

BODY = json.dumps(
    {"schemaVersion": 2, "config": {"size": 10}, "layers": [{"size": 30}, {"size": 2}]}
).encode()
DIGEST = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
LOGIN = Login(username="ann", password="hunter2")
Handler = Callable[[httpx.Request], httpx.Response]


def client(
    handler: Handler,
    registry: str = "registry.example.com",
    credentials: Credentials | None = None,
    *,
    insecure: bool = False,
) -> RegistryClient:
    return RegistryClient(
        registry, credentials=credentials, insecure=insecure, transport=httpx.MockTransport(handler)
    )


def always(status: int, body: object = None, headers: dict[str, str] | None = None) -> Handler:
    content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    return lambda _: httpx.Response(status, content=content, headers=headers)


def test_a_manifest_comes_with_the_digest_of_its_bytes() -> None:
    with client(
        always(200, BODY, {"content-type": "application/vnd.oci.image.manifest.v1+json"})
    ) as registry:
        found = registry.manifest("models/boston", "1.0.0")
    assert (found.digest, found.size, found.is_index) == (DIGEST, 42, False)
    assert found.media_type == "application/vnd.oci.image.manifest.v1+json"


@pytest.mark.parametrize("reference", ["1.0.0", f"sha256:{'ab' * 32}"])
def test_a_manifest_that_is_not_its_digest_is_refused(reference: str) -> None:
    headers = {"docker-content-digest": f"sha256:{'cd' * 32}"} if reference == "1.0.0" else None
    with client(always(200, BODY, headers)) as registry, pytest.raises(DigestMismatch, match=DIGEST):
        registry.manifest("a", reference)


def test_a_registry_that_says_no_digest_is_asked_for_the_bytes() -> None:
    with client(always(200, BODY)) as registry:
        assert registry.digest("a", "1") == DIGEST


def test_both_formats_of_images_and_of_lists_are_accepted() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept"])
        return httpx.Response(200, content=BODY)

    with client(handler) as registry:
        registry.manifest("a")
    for kind in (
        "oci.image.manifest.v1",
        "oci.image.index.v1",
        "distribution.manifest.v2",
        "manifest.list.v2",
    ):
        assert kind in asked[0]


def test_pages_are_followed_by_their_links() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        last = request.url.params.get("last")
        if last is None:
            link = {"link": '</v2/a/tags/list?n=100&last=b>; rel="next"'}
            return httpx.Response(200, json={"name": "a", "tags": ["b", "a"]}, headers=link)
        return httpx.Response(200, json={"name": "a", "tags": ["c"]})

    with client(handler) as registry:
        assert registry.tags("a") == ["a", "b", "c"]


@pytest.mark.parametrize(
    "link",
    ["https://evil.example.com/v2/a", "//evil.example.com/x", "http://registry.example.com/v2/a", "x://y"],
)
def test_a_page_at_another_host_is_not_followed(link: str) -> None:
    handler = always(200, {"tags": ["a"]}, {"link": f'<{link}>; rel="next"'})
    with client(handler) as registry, pytest.raises(RegistryRefused, match="another host"):
        registry.tags("a")


def test_pages_without_end_come_to_one() -> None:
    handler = always(200, {"tags": ["a"]}, {"link": '</v2/a/tags/list?n=100>; rel="next"'})
    with client(handler) as registry, pytest.raises(RegistryRefused, match="no end of pages"):
        registry.tags("a")


def test_a_repository_without_tags_has_none() -> None:
    with client(always(200, {"name": "a", "tags": None})) as registry:
        assert registry.tags("a") == []


def test_names_that_would_play_with_a_terminal_are_left_out() -> None:
    with client(always(200, {"repositories": ["a", "b\x1b[2J", 3, None]})) as registry:
        assert list(registry.repositories()) == ["a"]


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (403, RegistryForbids, "no right"),
        (404, NotInRegistry, "has no image a:1"),
        (429, RegistryBusy, "fewer requests"),
        (500, RegistryRefused, "its answer is 500"),
        (307, RegistryRefused, "not followed"),
        (401, RegistryLoginRefused, "wants a login"),
    ],
)
def test_each_refusal_has_its_error_with_the_registrys_words(
    status: int, error: type[Exception], words: str
) -> None:
    body = {"errors": [{"code": "X", "message": "because\x1b[1m of this"}]}
    with (
        client(always(status, body, {"retry-after": "7"})) as registry,
        pytest.raises(error, match=words) as told,
    ):
        registry.manifest("a", "1")
    assert "\x1b" not in str(told.value)
    if status == 429:
        assert told.value.retry_after == 7  # type: ignore[attr-defined]
    if status not in {307, 401}:
        assert "because[1m of this" in str(told.value)


def test_a_registry_that_deletes_nothing_says_how_it_would() -> None:
    body = {"errors": [{"code": "UNSUPPORTED", "message": "The operation is unsupported."}]}
    with client(always(405, body)) as registry, pytest.raises(RegistryCannot, match="DELETE_ENABLED"):
        registry.delete("a", DIGEST)


def test_a_registry_that_tells_no_repositories_says_so() -> None:
    with (
        client(always(404)) as registry,
        pytest.raises(RegistryCannot, match="does not list its repositories"),
    ):
        list(registry.repositories())


@pytest.mark.parametrize("name", ["a/../../x", "A", "a b", "", "a?n=1", "a:1", "a%2f..", "-a/", "a\r\nX: y"])
def test_a_repository_is_a_name_before_it_is_a_path(name: str) -> None:
    with client(always(200)) as registry, pytest.raises(BadImageName):
        registry.tags(name)


@pytest.mark.parametrize("reference", ["../x", "a b", "sha256:12", "", "x" * 129])
def test_a_tag_or_digest_is_one_before_it_is_a_path(reference: str) -> None:
    with client(always(200)) as registry, pytest.raises(BadImageName):
        registry.manifest("a", reference)


def test_only_digests_are_deleted() -> None:
    with client(always(200)) as registry, pytest.raises(BadImageName, match="deleted by digest"):
        registry.delete("a", "1.0.0")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b'"x"', b"\xff\xfe"])
def test_what_is_no_registry_is_not_taken_for_one(body: bytes) -> None:
    with client(always(200, body)) as registry, pytest.raises(RegistryRefused, match="is there one"):
        registry.manifest("a", "1")


def test_an_answer_without_end_is_cut_off() -> None:
    with (
        client(always(200, b"x" * (4 * 1024 * 1024 + 1))) as registry,
        pytest.raises(RegistryRefused, match="larger"),
    ):
        registry.manifest("a", "1")


def failing(error: Exception) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), "cannot be reached: .*refused"),
        (httpx.ConnectTimeout("timed out"), "did not answer in time"),
        (
            httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed"),
            "SSL_CERT_FILE",
        ),
        (
            httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number"),
            "--insecure allows plain HTTP",
        ),
    ],
)
def test_no_answer_is_explained(error: Exception, words: str) -> None:
    with client(failing(error)) as registry, pytest.raises(RegistryUnreachable, match=words):
        registry.ping()


def test_another_host_is_never_asked_without_tls() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={})

    with client(handler) as registry:
        registry.ping()
    assert asked == ["https://registry.example.com/v2/"]


def plain_only(asked: list[httpx.Request]) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.scheme == "https":
            error = httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number")
            error.__cause__ = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]")
            raise error
        if "authorization" not in request.headers:
            return httpx.Response(401, headers={"www-authenticate": 'Basic realm="x"'})
        return httpx.Response(200, json={"tags": ["a"]})

    return handler


def test_this_machine_and_insecure_ones_are_asked_without_tls_where_they_have_none() -> None:
    for name, insecure in (("127.0.0.1:5000", False), ("r.example.com", True)):
        asked: list[httpx.Request] = []
        with client(plain_only(asked), name, Standard(login=LOGIN), insecure=insecure) as registry:
            assert registry.tags("a") == ["a"]
        assert [request.url.scheme for request in asked] == ["https", "http", "http"]
        assert "authorization" not in asked[0].headers


def realm_says(realm: str, tokens: list[httpx.Request]) -> Handler:
    """A registry with tokens: `realm` gives them, `tokens` are the requests for them."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            tokens.append(request)
            return httpx.Response(200, json={"access_token": "t0ken"})
        if request.headers.get("authorization") == "Bearer t0ken":
            return httpx.Response(200, json={"tags": ["a"]})
        asks = f'Bearer realm="{realm}",service="registry",scope="repository:a:pull"'
        return httpx.Response(401, headers={"www-authenticate": asks})

    return handler


@pytest.mark.parametrize(
    "realm", ["https://registry.example.com/token", "https://auth.example.com/token?x=1"]
)
def test_a_token_is_fetched_with_the_login_and_used_again(realm: str) -> None:
    tokens: list[httpx.Request] = []
    with client(realm_says(realm, tokens), credentials=Standard(login=LOGIN)) as registry:
        assert registry.tags("a") == registry.tags("a") == ["a"]
    (asked,) = tokens
    assert asked.headers["authorization"].startswith("Basic ")
    parameters = dict(asked.url.params)
    parameters.pop("x", None)
    assert parameters == {"service": "registry", "scope": "repository:a:pull", "account": "ann"}


@pytest.mark.parametrize(
    "realm",
    [
        "http://registry.example.com/token",
        "http://auth.example.com/token",
        "https://evil.example.org/token",
        "https://registry.example.com.evil.org/token",
        "https://com/token",
    ],
)
def test_the_password_is_not_shown_without_tls_or_to_another_domain(realm: str) -> None:
    tokens: list[httpx.Request] = []
    handler = realm_says(realm, tokens)
    with client(handler, credentials=Standard(login=LOGIN)) as registry, pytest.raises(RegistryLoginRefused):
        registry.tags("a")
    assert tokens == []


def test_another_domain_may_be_trusted_by_name_and_gives_tokens_to_anybody() -> None:
    tokens: list[httpx.Request] = []
    handler = realm_says("https://auth.example.org/token", tokens)
    trusting = Standard(login=LOGIN, realms=frozenset({"auth.example.org"}))
    with client(handler, credentials=trusting) as registry:
        assert registry.tags("a") == ["a"]
    with client(handler) as registry:
        assert registry.tags("a") == ["a"]
    assert ["authorization" in request.headers for request in tokens] == [True, False]


def test_neighbours_below_a_public_suffix_are_strangers() -> None:
    tokens: list[httpx.Request] = []
    handler = realm_says("https://evil.co.uk/token", tokens)
    with (
        client(handler, "shop.co.uk", Standard(login=LOGIN)) as registry,
        pytest.raises(RegistryLoginRefused),
    ):
        registry.tags("a")
    assert tokens == []


@pytest.mark.parametrize(
    "realm", ["", "/token", "file:///etc/passwd", "https://u:p@registry.example.com/token", "https://"]
)
def test_a_realm_that_is_no_address_is_refused(realm: str) -> None:
    with (
        client(realm_says(realm, []), credentials=Standard(login=LOGIN)) as registry,
        pytest.raises(RegistryRefused, match="is no address"),
    ):
        registry.tags("a")


def test_docker_hub_keeps_its_tokens_elsewhere() -> None:
    tokens: list[httpx.Request] = []
    handler = realm_says("https://auth.docker.io/token", tokens)
    with client(handler, "docker.io", Standard(login=LOGIN)) as registry:
        assert registry.tags("a") == ["a"]
    assert tokens[0].headers["authorization"].startswith("Basic ")


def test_a_token_of_identity_is_exchanged_and_not_shown_as_a_password() -> None:
    tokens: list[httpx.Request] = []
    login = Login(username="x", password="", identity_token="refresh")
    handler = realm_says("https://registry.example.com/token", tokens)
    with client(handler, credentials=Standard(login=login)) as registry:
        assert registry.tags("a") == ["a"]
    assert tokens[0].method == "POST"
    assert b"grant_type=refresh_token&refresh_token=refresh" in tokens[0].content
    assert "authorization" not in tokens[0].headers


@pytest.mark.parametrize("token", ["", None, 3, "a\r\nX-Evil: 1", "a b", "ä"])
def test_a_token_that_would_be_more_than_a_token_is_refused(token: object) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"token": token})
        asks = 'Bearer realm="https://registry.example.com/token"'
        return httpx.Response(401, headers={"www-authenticate": asks})

    with client(handler) as registry, pytest.raises(RegistryRefused, match="gave no token"):
        registry.ping()


def test_a_refused_login_is_tried_once_and_named() -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(401, headers={"www-authenticate": 'Basic realm="x"'})

    with (
        client(handler, credentials=Standard(login=LOGIN)) as registry,
        pytest.raises(RegistryLoginRefused, match="does not take the account") as told,
    ):
        registry.ping()
    assert len(asked) == 2
    assert LOGIN.password not in str(told.value)


def test_credentials_of_another_kind_answer_in_their_own_way() -> None:
    class Azure:
        def answer(self, challenge: Challenge, client: httpx.Client, registry: str) -> str | None:
            assert (challenge.scheme, challenge.service, registry) == ("bearer", "registry", "x.azurecr.io")
            return "Bearer t0ken"

    with client(realm_says("https://x.azurecr.io/oauth2/token", []), "x.azurecr.io", Azure()) as registry:
        assert registry.tags("a") == ["a"]


def test_a_realm_that_cannot_be_reached_is_told_as_such() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            raise httpx.ConnectError("[Errno 111] Connection refused")
        asks = 'Bearer realm="https://auth.example.com/token"'
        return httpx.Response(401, headers={"www-authenticate": asks})

    with client(handler) as registry, pytest.raises(RegistryUnreachable, match="refused"):
        registry.ping()


def test_a_token_without_end_is_cut_off() -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield b'{"token": "'
        while True:
            read += 1
            assert read < 1000, "nobody stops"
            yield b"x" * 65536

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, content=endless())
        asks = 'Bearer realm="https://registry.example.com/token"'
        return httpx.Response(401, headers={"www-authenticate": asks})

    with client(handler) as registry, pytest.raises(RegistryRefused, match="gave no token"):
        registry.ping()
