"""The page at /docs, as far as HTTP shows it: everything it loads is there, and its policy lets it load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx
import pytest

from tests.e2e.protocol import refused
from tests.servers import Server

KINDS = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}


@pytest.fixture(scope="module")
def browser(server: Server) -> Iterator[httpx.Client]:
    """Nobody is logged in."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


class Page(HTMLParser):
    """What a page loads, and what a strict policy would not let run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [value for name in ("src", "href") if tag != "a" and (value := given.get(name))]
        self._in_script = tag in {"script", "style"} and "src" not in given
        self.inline += [name for name in given if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


@pytest.fixture(scope="module")
def page(browser: httpx.Client) -> httpx.Response:
    answer = browser.get("/docs")
    assert answer.status_code == 200
    return answer


def test_everything_that_the_page_loads_is_the_servers_own_and_is_there(
    browser: httpx.Client, page: httpx.Response
) -> None:
    loads = Page(page.text).loads
    assert len(loads) >= 4
    for path in loads:
        assert "//" not in path
        answer = browser.get(urljoin("/docs", path))
        assert answer.status_code == 200, path
        kind = answer.headers["content-type"].split(";")[0]
        assert kind == KINDS["." + path.rpartition(".")[2]]
        assert len(answer.content) == int(answer.headers["content-length"]) > 0


def test_the_policy_is_strict_and_the_page_keeps_to_it(page: httpx.Response) -> None:
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for needed in ("script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:"):
        assert needed in policy
    assert Page(page.text).inline == []
    assert page.headers["x-content-type-options"] == "nosniff"


def test_the_scripts_load_the_document_from_this_server_and_report_to_nobody(browser: httpx.Client) -> None:
    script = browser.get("/docs/docs.js").text
    assert 'url: "openapi.json"' in script
    assert "validatorUrl: null" in script
    assert not re.search(r"https?://", script)


def test_the_document_lets_a_reader_try_things_out_with_a_token(
    browser: httpx.Client, admin: httpx.Client
) -> None:
    document = browser.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    scheme = document["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert "/login" in scheme["description"]
    assert document["security"] == [{"bearer": []}]
    assert "servers" not in document  # so that requests go where the page came from, also behind a proxy
    assert {"/services", "/api/{name}/{version}", "/sessions"} <= set(document["paths"])
    headers = {"Authorization": admin.headers["Authorization"], "Origin": str(browser.base_url)}
    assert browser.get("/services", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["/docs/none.js", "/docs/..%2fapp.py", "/docs/%2e%2e/app.py", "/docs/docs.html", "/docs/"]
)
def test_nothing_else_is_to_be_had_below_it(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code in {401, 404}
    refused(answer, answer.status_code)


def test_head_answers_as_get_does_without_the_body(browser: httpx.Client, page: httpx.Response) -> None:
    answer = browser.head("/docs")
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-length"] == page.headers["content-length"]
