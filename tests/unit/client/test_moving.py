"""Files on their way: in pieces, whole or not at all, and from the start when they are sent again."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from gristmill.client import Client, errors
from tests.unit.client.fake import FakeServer, described, problem

FILE = b"gristmill-service 1\n" + bytes(600_000)


def test_an_export_that_broke_is_begun_anew(
    client: Client, fake: FakeServer, waits: list[float], tmp_path: Path
) -> None:
    fake.script = [
        problem(503, "Overloaded", "busy", retry_after="1"),
        httpx.ReadError("reset"),
        httpx.Response(200, content=FILE),
    ]
    seen: list[tuple[int, int]] = []
    written = client.export("area", "1.0", tmp_path / "a.gm", progress=lambda *told: seen.append(told))
    assert written.read_bytes() == FILE
    assert fake.asked[-1].url.path == "/exported-services/area/1.0"
    assert seen[-1] == (len(FILE), len(FILE))
    assert len(waits) == 2


def test_an_export_that_is_refused_leaves_what_was_there(
    client: Client, fake: FakeServer, tmp_path: Path
) -> None:
    target = tmp_path / "a.gm"
    target.write_bytes(b"before")
    fake.script = [problem(403, "Forbidden", "not yours")]
    with pytest.raises(errors.Forbidden, match=r"area 1\.0: exporting: not yours"):
        client.export("area", "1.0", target)
    assert (target.read_bytes(), list(tmp_path.iterdir())) == (b"before", [target])


def test_a_file_is_named_after_the_service(
    client: Client, fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fake.script = [httpx.Response(200, content=FILE)]
    assert client.export("area", "1.0") == Path("area-1.0.gm")
    assert (tmp_path / "area-1.0.gm").read_bytes() == FILE


def test_an_import_is_sent_again_from_its_start_when_it_was_not_begun(
    client: Client, fake: FakeServer, waits: list[float], tmp_path: Path
) -> None:
    file = tmp_path / "a.gm"
    file.write_bytes(FILE)
    fake.services = [described()]
    done = httpx.Response(201, json="done", headers={"location": "/services/area/1.0"})
    fake.script = [problem(503, "Overloaded", "busy", retry_after="1"), done]
    seen: list[tuple[int, int]] = []
    service = client.import_(file, replace=True, version="1.0", progress=lambda *told: seen.append(told))
    assert (service.name, service.version) == ("area", "1.0")
    first, second = fake.asked[-3:-1]
    for request in (first, second):
        assert request.headers["content-length"] == str(len(FILE))
        assert dict(request.url.params) == {"replace": "true", "version": "1.0"}
    assert fake.sent[-3:-1] == [FILE, FILE]
    assert seen.count((len(FILE), len(FILE))) == 2


def test_what_is_no_exported_service_is_not_sent(client: Client, fake: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(errors.InvalidInput, match=r"a\.zip is no exported service"):
        client.import_(tmp_path / "a.zip")
    with pytest.raises(errors.InvalidInput, match=r"b\.gm cannot be read: No such file"):
        client.import_(tmp_path / "b.gm")
    assert not [each for each in fake.asked if each.method == "POST" and "exported" in each.url.path]
