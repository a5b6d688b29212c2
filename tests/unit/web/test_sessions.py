from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gristmill.web.context import Limits
from tests.unit.web.fakes import EXECUTED, Server


async def test_a_session_is_started_with_r_by_default(server: Server) -> None:
    async with server.client() as client:
        answer = await client.post("/sessions", content=b"")
        assert (answer.status_code, answer.json()) == (201, {"sessionId": "s2"})
        answer = await client.post("/sessions", json={"runtimeType": "Python", "name": "mine"})
        assert answer.json() == {"sessionId": "s3"}
        assert (await client.get("/sessions")).json()[1:] == [
            {"id": "s2", "name": "", "owner": "ann", "runtimeType": "R"},
            {"id": "s3", "name": "mine", "owner": "ann", "runtimeType": "Python"},
        ]
        assert (await client.post("/sessions", json={"runtimeType": "Realtime"})).status_code == 400


async def test_execute_passes_bytes_through_both_ways(server: Server) -> None:
    async with server.client() as client:
        answer = await client.post("/sessions/s1/execute", content=b'{"code": "1 "}')
        assert (answer.content, answer.headers["content-type"]) == (EXECUTED, "application/json")
        assert (await client.get("/sessions/s1/history")).json() == ['{"code": "1 "}']


async def test_a_session_is_cancelled_watched_and_closed(server: Server) -> None:
    session = server.sessions.live["s1"]
    async with server.client() as client:
        assert isinstance((await client.post("/sessions/s1/cancel")).json(), str)
        assert session.cancelled == 1
        output = await client.get("/sessions/s1/console-output")
        assert output.json() == {"consoleOutput": "printed so far\n"}
        assert (await client.delete("/sessions/s1")).status_code == 200
        assert (await client.get("/sessions/s1/history")).status_code == 404
        assert (await client.delete("/sessions/busy")).status_code == 409
        server.sessions.live["busy"] = session
        assert (await client.delete("/sessions/busy/force")).status_code == 200


EVERYTHING = [
    ("POST", "/execute"),
    ("POST", "/cancel"),
    ("GET", "/console-output"),
    ("GET", "/history"),
    ("GET", "/workspace"),
    ("POST", "/workspace/x"),
    ("GET", "/workspace/x"),
    ("DELETE", "/workspace/x"),
    ("GET", "/files"),
    ("POST", "/files"),
    ("GET", "/files/x"),
    ("DELETE", "/files/x"),
    ("POST", "/snapshot"),
    ("POST", "/loadsnapshot/snap-1"),
    ("DELETE", ""),
    ("DELETE", "/force"),
]


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
async def test_anothers_session_is_404_and_an_ended_one_410(server: Server, method: str, path: str) -> None:
    for user in ["ben", "admin"]:
        async with server.client(user) as client:
            answer = await client.request(method, "/sessions/s1" + path)
            assert (answer.status_code, answer.json()["exceptionType"]) == (404, "NotFound")
    server.sessions.dead.add("s1")
    async with server.client() as client:
        assert (await client.request(method, "/sessions/s1" + path)).status_code == 410


async def test_objects_travel_as_they_are(server: Server) -> None:
    content = bytes(range(256)) * 3000
    async with server.client() as client:
        assert (await client.post("/sessions/s1/workspace/my.model", content=content)).status_code == 200
        assert (await client.get("/sessions/s1/workspace")).json() == ["my.model"]
        answer = await client.get("/sessions/s1/workspace/my.model")
        assert answer.content == content
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-length"] == str(len(content))
        assert (await client.delete("/sessions/s1/workspace/my.model")).status_code == 200
        assert (await client.get("/sessions/s1/workspace/my.model")).status_code == 404


async def test_an_object_that_cannot_be_loaded_is_400_and_named(server: Server) -> None:
    async with server.client() as client:
        answer = await client.post("/sessions/s1/workspace/fit", content=b"broken")
        assert answer.status_code == 400
        assert "'fit'" in answer.json()["message"]
        assert (await client.post("/sessions/s1/workspace/fit", content=b"")).status_code == 400


async def test_files_are_uploaded_listed_downloaded_and_deleted(server: Server) -> None:
    async with server.client() as client:
        answer = await client.post("/sessions/s1/files", files={"file": ("größe 1.csv", b"a,b\n1,2\n")})
        assert answer.status_code == 201
        server.sessions.live["s1"].held["sub/x.txt"] = b"deep"
        assert (await client.get("/sessions/s1/files")).json() == ["größe 1.csv", "sub/x.txt"]
        answer = await client.get("/sessions/s1/files/gr%C3%B6%C3%9Fe%201.csv")
        assert answer.content == b"a,b\n1,2\n"
        assert answer.headers["content-disposition"] == (
            "attachment; filename=\"gr__e 1.csv\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%201.csv"
        )
        for path in ["sub%2Fx.txt", "sub/x.txt"]:
            assert (await client.get(f"/sessions/s1/files/{path}")).content == b"deep"
        assert (await client.delete("/sessions/s1/files/sub/x.txt")).status_code == 200
        assert (await client.get("/sessions/s1/files/sub/x.txt")).status_code == 404


@pytest.mark.parametrize(
    "name", ["../x", "..", "/etc/passwd", "a/b", "..\\x", "x" * 256, "a\nb", "a\0b", "."]
)
async def test_path_tricks_in_an_upload_are_refused(server: Server, name: str) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\nx\r\n--b--\r\n'
        % name.replace("\\", "\\\\").encode()
    )
    async with server.client() as client:
        answer = await client.post(
            "/sessions/s1/files", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
    assert answer.status_code == 400
    assert server.sessions.live["s1"].held == {}


@pytest.mark.parametrize(
    "path", ["..%2fx", "%2e%2e/x", "%2fetc%2fpasswd", "a%00b", "a%2f%2e%2e%2fb", "a//b", "x" * 300, "a%5cb"]
)
async def test_path_tricks_in_file_names_are_refused(server: Server, path: str) -> None:
    async with server.client() as client:
        for method in ["GET", "DELETE"]:
            answer = await client.request(method, f"/sessions/s1/files/{path}")
            assert answer.status_code in (400, 404), answer.text
            assert set(answer.json()) == {"message", "link", "exceptionType"}


@pytest.mark.parametrize("name", ["%2e%2e%2fx", "a%00b", "a%0ab", "a%5cb", "x" * 256])
async def test_tricks_in_object_names_are_refused(server: Server, name: str) -> None:
    async with server.client() as client:
        answer = await client.post(f"/sessions/s1/workspace/{name}", content=b"x")
    assert answer.status_code in (400, 404)
    assert server.sessions.live["s1"].objects == {}


PART = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=b", b"nonsense"),
        (
            "multipart/form-data; boundary=b",
            PART + b"x\r\n",
        ),
        ("multipart/form-data", b"--b\r\n"),
        (
            "multipart/form-data; boundary=b",
            PART + b"x\r\n--b--\r\n",
        ),
        ("application/octet-stream", b"x"),
        ("application/x-www-form-urlencoded", b"file=x"),
        ("", b""),
    ],
)
async def test_a_malformed_form_is_400(server: Server, kind: str, body: bytes) -> None:
    async with server.client() as client:
        answer = await client.post("/sessions/s1/files", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["exceptionType"]) == (400, "InvalidInput")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize("path", ["/sessions/s1/workspace/x", "/sessions/s1/files", "/sessions/s1/execute"])
async def test_uploads_are_cut_off_at_the_limit(server: Server, path: str) -> None:
    server.limits = Limits(upload_bytes=1000, body_bytes=1000)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    async with server.client() as client:
        announced = await client.post(path, content=head + b"x" * 100_000, headers=headers)
        assert (announced.status_code, announced.json()["exceptionType"]) == (413, "TooLarge")
        chunked = await client.post(path, content=chunks(head, *[b"x" * 999] * 100), headers=headers)
        assert (chunked.status_code, chunked.json()["exceptionType"]) == (413, "TooLarge")


async def test_snapshots_are_taken_loaded_listed_fetched_and_deleted(server: Server) -> None:
    async with server.client() as client:
        answer = await client.post("/sessions/s1/snapshot", json={"name": "now"})
        assert (answer.status_code, answer.json()) == (201, {"snapshotId": "snap-2"})
        assert (await client.post("/sessions/s1/loadsnapshot/snap-1")).status_code == 200
        assert (await client.post("/sessions/s1/loadsnapshot/other")).status_code == 404
        assert (await client.get("/snapshots")).json() == [
            {
                "id": "snap-1",
                "name": "my “work”/1",
                "owner": "ann",
                "creationTime": "2026-11-22T10:30:00.123Z",
                "contentSize": 6,
            }
        ]
        answer = await client.get("/snapshots/snap-1")
        assert answer.content == b"PK zip"
        assert 'filename="my _work__1.zip"' in answer.headers["content-disposition"]
        assert (await client.delete("/snapshots/snap-1")).status_code == 200
        assert (await client.get("/snapshots/snap-1")).status_code == 404


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_anothers_snapshot_is_404_for_an_owner_too(server: Server, method: str) -> None:
    async with server.client("admin") as client:
        assert (await client.request(method, "/snapshots/snap-1")).status_code == 404
