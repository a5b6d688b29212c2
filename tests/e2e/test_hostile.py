"""What malicious or broken users send to a running server: a clear 4xx, the server untouched."""

from __future__ import annotations

import contextlib
import os
import pickle
import posix
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.publishing import call, parameters, publish
from tests.servers import Server

pytestmark = pytest.mark.timeout(120)

BAD_NAMES = [
    "..%2f..%2fetc",
    "..",
    "%2e%2e",
    "a%00b",
    "%2fetc%2fpasswd",
    "a b",
    "a%0ab",
    "-a",
    "a;rm",
    "caf%C3%A9",
    "x" * 200,
    "%ff",
]


@pytest.fixture(scope="module")
def adder(admin: httpx.Client) -> str:
    return publish(
        admin, "adder", "z = x + y", inputs={"x": "numeric", "y": "numeric"}, outputs={"z": "numeric"}
    )


@pytest.fixture(autouse=True)
def _the_server_lives_on(admin: httpx.Client, adder: str, server: Server) -> Iterator[None]:
    pid = server.process.pid
    yield
    assert server.process.poll() is None
    assert server.process.pid == pid
    assert call(admin, adder, x=1, y=2) == {"z": 3}


def refused(answer: httpx.Response, *statuses: int) -> str:
    """The message of an error as the protocol has it."""
    assert answer.status_code in (statuses or (400,)), f"{answer.status_code} {answer.text[:300]}"
    body = answer.json()
    assert set(body) == {"message", "link", "exceptionType"}
    assert "Traceback" not in answer.text
    return str(body["message"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"x":1,"y":NaN}',
        b'{"x":1,"y":Infinity}',
        b'{"x":1,"y":2}{}',
        b"\xff\xfe{}",
        b'{"x":1,"y":"\xed\xa0\x80"}',
        b"[" * 100_000,
        b'{"x":' * 50_000,
        b'{"x":1,"y":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"x":1,"y":1e999}',
        b'{"x":1}',
        b'{"x":1,"y":2,"z":3}',
        b'{"x":"one","y":2}',
        b'{"x":{},"y":2}',
        b'{"x":[1,2],"y":2}',
        b'{"x":true,"y":2}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_malformed_or_ill_typed_call_is_400(admin: httpx.Client, adder: str, body: bytes) -> None:
    assert refused(admin.post(adder, content=body))


def test_an_ill_typed_call_names_the_parameter_what_was_expected_and_what_came(
    admin: httpx.Client, adder: str
) -> None:
    message = refused(admin.post(adder, json={"x": "one", "y": 2}))
    assert "x" in message
    assert "numeric" in message
    assert "one" in message or "text" in message or "character" in message


def test_a_body_over_the_limit_is_413_whether_announced_or_not(admin: httpx.Client, adder: str) -> None:
    huge = b'{"x":1,"y":"' + b"a" * (100 << 20) + b'"}'
    # The server may close before it has read all: the caller is told 413, or sees the connection end.
    with contextlib.suppress(httpx.WriteError):
        refused(admin.post(adder, content=huge), 413)
    pieces = (huge[start : start + (1 << 20)] for start in range(0, len(huge), 1 << 20))
    with contextlib.suppress(httpx.WriteError):
        refused(admin.post(adder, content=pieces), 413)


def test_a_body_of_10_mb_works_by_default(admin: httpx.Client) -> None:
    path = publish(admin, "long", "n = len(text)", inputs={"text": "character"}, outputs={"n": "integer"})
    assert call(admin, path, text="a" * 10_000_000) == {"n": 10_000_000}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_tricks_in_names_and_versions_are_refused(admin: httpx.Client, name: str) -> None:
    body = {"code": "y = 1", "runtimeType": "Python"}
    refused(admin.post(f"/services/{name}/1", json=body), 400, 404, 405)
    refused(admin.post(f"/services/good/{name}", json=body), 400, 404, 405)
    refused(admin.post(f"/api/{name}/1", json={}), 400, 404, 405)
    names = {service["name"] for service in admin.get("/services").json()}
    assert names <= {"adder", "long", "good"} | {n for n in names if n.isascii() and "/" not in n}


@pytest.mark.parametrize(
    "change",
    [
        {"code": 1},
        {"code": None},
        {"runtimeType": "Perl"},
        {"inputParameterDefinitions": parameters(x="complex")},
        {"inputParameterDefinitions": [{"name": "x"}]},
        {"inputParameterDefinitions": parameters(x="numeric") * 2},
        {"inputParameterDefinitions": [{"name": "a\nb", "type": "numeric"}]},
        {"outputFileNames": ["../out.png"]},
        {"outputFileNames": ["/etc/passwd"]},
        {"outputFileNames": ["a/../../b"]},
        {"outputFileNames": ["nul\0"]},
        {"snapshotId": "no-such-snapshot"},
        {"code": "y = ("},
        {"initCode": "def f(:"},
        {"operationId": "no operation; id"},
        {"batchable": "yes"},
    ],
    ids=str,
)
def test_a_publish_that_cannot_work_is_refused_and_leaves_nothing(
    admin: httpx.Client, change: dict[str, object]
) -> None:
    body = {"code": "y = 1", "runtimeType": "Python", **change}
    refused(admin.post("/services/refused/1", json=body), 400, 404)
    assert admin.get("/services/refused").json() == []


@pytest.fixture
def session(admin: httpx.Client) -> Iterator[str]:
    answer = admin.post("/sessions", json={"runtimeType": "Python"})
    assert answer.status_code == 201, answer.text
    path = f"/sessions/{answer.json()['sessionId']}"
    yield path
    admin.delete(f"{path}/force")


class Raises:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (exec, ("raise ValueError('I was loaded')",))


class Runs:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.system, ("touch /tmp/gristmill-was-here",))


class Crashes:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (posix._exit, (7,))  # coverage has put a function of its own in the place of os._exit


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the body is empty"),
        (b"no pickle at all", "model"),
        (pickle.dumps(Raises()), "I was loaded"),
        (pickle.dumps(list(range(1000)))[:-20], "model"),
        (b"cno_such_module\nThing\n.", "no_such_module"),
    ],
)
def test_an_object_that_cannot_be_loaded_is_400_and_the_session_lives(
    admin: httpx.Client, session: str, content: bytes, told: str
) -> None:
    message = refused(admin.post(f"{session}/workspace/model", content=content))
    assert told in message
    assert "model" in message or not content
    assert admin.get(f"{session}/workspace").json() == []


@pytest.mark.needs_bubblewrap
def test_code_in_a_pickle_runs_in_the_sandbox_only(admin: httpx.Client, session: str) -> None:
    admin.post(f"{session}/workspace/model", content=pickle.dumps(Runs()))
    assert not os.path.exists("/tmp/gristmill-was-here")


def test_a_pickle_that_ends_the_interpreter_costs_its_session_only(admin: httpx.Client, session: str) -> None:
    refused(admin.post(f"{session}/workspace/model", content=pickle.dumps(Crashes())), 410)
    refused(admin.get(f"{session}/workspace"), 410)


@pytest.mark.parametrize(
    "name", ["..%2fup", "%2e%2e", "a%00b", "%2fetc%2fpasswd", "..%5cup", "a%2fb", "x" * 300]
)
def test_tricks_in_file_and_object_names_are_refused(admin: httpx.Client, session: str, name: str) -> None:
    refused(admin.get(f"{session}/files/{name}"), 400, 404)
    refused(admin.delete(f"{session}/files/{name}"), 400, 404)
    refused(admin.post(f"{session}/workspace/{name}", content=pickle.dumps(1)), 400, 404, 405)
    refused(admin.get(f"{session}/workspace/{name}"), 400, 404)


@pytest.mark.parametrize("name", ["../up.txt", "/etc/cron.d/x", "a/../../b", "..", "nul\0l"])
def test_tricks_in_uploaded_file_names_are_refused(admin: httpx.Client, session: str, name: str) -> None:
    answer = admin.post(f"{session}/files", files={"file": (name, b"x")})
    if answer.status_code == 201:  # some clients send a path: its last part is a name like any other
        assert all(
            "/" not in listed and ".." not in listed for listed in admin.get(f"{session}/files").json()
        )
    else:
        refused(answer)


def test_a_link_in_the_working_directory_leads_nowhere(admin: httpx.Client, session: str) -> None:
    code = "import os; os.symlink('/etc/passwd', 'leak'); os.symlink('/', 'root')"
    assert admin.post(f"{session}/execute", json={"code": code}).json()["success"]
    refused(admin.get(f"{session}/files/leak"), 400, 404)


@pytest.mark.parametrize("module", ["multipart without end", "no boundary", "two files", "no file"])
def test_malformed_uploads_are_400(admin: httpx.Client, session: str, module: str) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=xx"}
    part = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
    content, headers = {
        "multipart without end": (part, kind),
        "no boundary": (part, {"Content-Type": "multipart/form-data"}),
        "two files": (part + b"\r\n" + part + b"\r\n--xx--\r\n", kind),
        "no file": (b'--xx\r\nContent-Disposition: form-data; name="other"\r\n\r\nabc\r\n--xx--\r\n', kind),
    }[module]
    refused(admin.post(f"{session}/files", content=content, headers=headers))


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /api/adder/1 HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/adder/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /api/%zz/1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_broken_http_harms_nobody(server: Server, raw: bytes) -> None:
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        except OSError:
            answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]


@pytest.mark.needs_bubblewrap
def test_user_code_sees_neither_the_state_nor_the_keys_nor_other_processes(
    admin: httpx.Client, server: Server
) -> None:
    code = (
        "import os\n"
        f"def probe(path):\n"
        "    try:\n"
        "        return sorted(os.listdir(path))\n"
        "    except OSError as error:\n"
        "        return [type(error).__name__]\n"
        f"state = probe({str(server.data)!r})\n"
        "uid = os.getuid()\n"
        "processes = sum(name.isdigit() for name in os.listdir('/proc'))\n"
        "secrets = [name for name in os.environ if 'GRISTMILL' in name]\n"
    )
    path = publish(
        admin,
        "probe",
        code,
        outputs={"state": "vector", "uid": "integer", "processes": "integer", "secrets": "vector"},
    )
    seen = call(admin, path)
    assert "signing-key.pem" not in seen["state"]
    assert not any(name.endswith(".db") for name in seen["state"])
    assert seen["uid"] != 0
    assert seen["processes"] < 10
    assert seen["secrets"] == []
