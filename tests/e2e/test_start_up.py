"""`gristmill serve --publish`: what a folder holds is published once, before the server is ready."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import stopping
from tests.containers import free_port
from tests.contract.databases import postgres_programs, running_postgres
from tests.e2e.publishing import call
from tests.realtime_models import model_file
from tests.servers import ADMIN_PASSWORD, GRISTMILL, Server, let_pass, start_server

ROOT = Path(__file__).parents[2]
Serve = Callable[..., Server]

pytestmark = pytest.mark.timeout(180)

#: Publishes a service that adds a number; {before} is run first.
SCRIPT = """
import gristmill
{before}
def add(x: float) -> float:
    return x + {number}

service = gristmill.connect().publish("add", add, version="1", description="{number}")
print("gives", service.add(1.0).output())
"""
#: Says which process it is, and goes no further.
HANGING = """
import os, time
open({flag!r}, "w").write(str(os.getpid()) + "\\n")
time.sleep(1000)
"""


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def adding(folder: Path, number: int = 1, before: str = "", name: str = "b/add.py") -> Path:
    return write(folder, name, SCRIPT.format(number=number, before=before))


@pytest.fixture
def publish(tmp_path: Path) -> Path:
    folder = tmp_path / "publish"
    folder.mkdir()
    return folder


@pytest.fixture
def port() -> int:
    return free_port()


def failing(folder: Path, *flags: str) -> tuple[int, str]:
    """Status and log of a server that does not get ready."""
    let_pass(folder)
    done = subprocess.run(
        [GRISTMILL, "serve", "--port", "0", "--data", str(folder / "data"), *flags],
        env={**os.environ, "GRISTMILL_ADMIN_PASSWORD": ADMIN_PASSWORD},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@contextmanager
def starting(folder: Path, port: int, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is on its way to being ready; killed at the end if it still runs."""
    let_pass(folder)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [GRISTMILL, "serve", "--port", str(port), "--data", str(folder / "data"), *flags],
            env={**os.environ, "GRISTMILL_ADMIN_PASSWORD": ADMIN_PASSWORD},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(path: Path) -> str:
    """The content of a file that a script writes."""
    until = time.monotonic() + 60
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < until, f"{path} does not come"
        time.sleep(0.02)
    return path.read_text().strip()


def gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def result(server: Server, name: str = "add", version: str = "1") -> float:
    with server.client() as client:
        return float(call(client, f"/api/{name}/{version}", x=1.0)["result"])


def test_a_python_script_is_published_and_its_output_is_in_the_log(serve: Serve, publish: Path) -> None:
    adding(publish)
    server = serve("--publish", str(publish))
    assert result(server) == 2.0
    log = server.log.read_text()
    assert "publishing 1 of 1: b/add.py" in log
    assert "gives 2.0" in log
    assert httpx.get(f"{server.url}/health/ready").status_code == 200


def test_what_was_published_is_not_published_again_and_what_changed_replaces_it(
    serve: Serve, publish: Path
) -> None:
    adding(publish)
    serve("--publish", str(publish)).stop()
    server = serve("--publish", str(publish))
    assert server.log.read_text().count("publishing 1 of 1") == 1
    with server.client() as client:
        client.delete("/services/add/1").raise_for_status()
    server.stop()
    server = serve("--publish", str(publish))
    with server.client() as client:
        assert client.get("/services/add").json() == []  # deleted by somebody, who meant it
    server.stop()
    adding(publish, number=2)
    server = serve("--publish", str(publish))
    assert result(server) == 3.0
    server.stop()
    adding(publish, number=3)
    assert result(serve("--publish", str(publish))) == 4.0


def test_an_older_image_that_starts_again_undoes_nothing(serve: Serve, publish: Path) -> None:
    """What it holds was published before. The folder is named by the environment, as in an image."""
    new = publish.with_name("new")
    adding(publish, number=1)
    adding(new, number=2)
    serve(environment={"GRISTMILL_PUBLISH": str(publish)}).stop()
    serve(environment={"GRISTMILL_PUBLISH": str(new)}).stop()
    assert result(serve(environment={"GRISTMILL_PUBLISH": str(publish)})) == 3.0


def test_a_gristmill_toml_says_the_order(serve: Serve, publish: Path) -> None:
    adding(publish, number=1, name="b/z.py")
    adding(publish, number=2, name="b/a.py")
    adding(publish, number=9, name="b/not-this.py")
    write(publish, "b/gristmill.toml", 'publish = ["z.py", "a.py"]\n')
    server = serve("--publish", str(publish))
    assert result(server) == 3.0
    log = server.log.read_text()
    assert log.index("publishing 1 of 2: b/z.py") < log.index("publishing 2 of 2: b/a.py")
    assert "not-this" not in log


def test_a_service_toml_is_published_as_by_the_command(serve: Serve, publish: Path) -> None:
    write(publish, "b/score.py", "def half(x: float) -> float:\n    return x / 2\n")
    write(publish, "b/service.toml", 'name = "half"\nversion = "1"\nfunction = "score.py:half"\n')
    write(publish, "b/gristmill.toml", 'publish = ["service.toml"]\n')
    assert result(serve("--publish", str(publish)), "half") == 0.5


def test_a_realtime_service_is_replaced_too(serve: Serve, publish: Path) -> None:
    script = (
        "import gristmill\n"
        "model = open('model.blob', 'rb').read()\n"
        "gristmill.connect().publish_realtime('twice', model, version='1', description='{}')\n"
    )
    (publish / "b").mkdir()
    (publish / "b/model.blob").write_bytes(model_file())
    for description in ("first", "second"):
        write(publish, "b/deploy.py", script.format(description))
        server = serve("--publish", str(publish))
        with server.client() as client:
            (found,) = client.get("/services/twice").json()
            assert found["description"] == description
            answer = client.post("/api/twice/1", json={"inputData": {"x": [1.5]}}).json()
            assert answer["outputParameters"] == {"outputData": {"Score": [3.0]}}
        server.stop()


def test_an_exported_service_is_published(serve: Serve, publish: Path, tmp_path: Path) -> None:
    adding(publish, number=4)
    server = serve("--publish", str(publish))
    with server.client() as client:
        exported = client.get("/exported-services/add/1").raise_for_status().content
        client.delete("/services/add/1").raise_for_status()
    server.stop()
    files = tmp_path / "files"
    files.mkdir()
    (files / "add.gm").write_bytes(exported)
    assert result(serve("--publish", str(files))) == 5.0


def test_a_damaged_file_ends_the_server(tmp_path: Path, publish: Path) -> None:
    (publish / "add.gm").write_bytes(b"gristmill-service 1\n and more")
    status, log = failing(tmp_path, "--publish", str(publish))
    assert status == 1
    assert f"{publish}/add.gm was not published: the exported service was cut off" in log


@pytest.mark.needs_r
def test_the_boston_script_for_mrsdeploy_is_published(
    serve: Serve, publish: Path, library: Path, tmp_path: Path
) -> None:
    fitting, bundle = tmp_path / "fitting", publish / "boston"
    shutil.copytree(ROOT / "examples/boston-r", fitting)
    subprocess.run(["Rscript", "bos_rf.R"], cwd=fitting, capture_output=True, check=True)
    bundle.mkdir()
    shutil.copy(fitting / "bos_rf.rds", bundle)
    # As it stood in a script for ML Server, where R had the functions loaded.
    script = (fitting / "bos_rf_deploy.R").read_text().replace("library(gristmill)\n", "")
    assert "library(gristmill)" not in script
    write(bundle, "bos_rf_deploy.R", script)
    server = serve("--publish", str(publish), environment={"R_LIBS": str(library)})
    log = server.log.read_text()
    assert "equal bit for bit to predict()" in log
    assert "batch of 2 sets of 10 rows: Complete - equal" in log
    with server.client() as client:
        names = [(each["name"], each["version"]) for each in client.get("/services").json()]
    assert names == [("bos-rf", "1.0.0")]


def test_an_empty_folder_is_no_news_and_a_missing_one_an_error(
    serve: Serve, publish: Path, tmp_path: Path
) -> None:
    server = serve("--publish", str(publish))
    assert "publishing" not in server.log.read_text()
    server.stop()
    status, log = failing(tmp_path, "--publish", str(tmp_path / "nowhere"))
    assert status == 1
    assert f"nothing can be published from {tmp_path}/nowhere: No such file or directory" in log


def test_a_script_that_fails_ends_the_server_which_says_which_and_why(tmp_path: Path, publish: Path) -> None:
    adding(publish, name="a/good.py")
    adding(publish, name="b/bad.py", before="print('so far'); raise SystemExit('no such table')")
    status, log = failing(tmp_path, "--publish", str(publish))
    assert status == 1
    told = log[log.index("gristmill serve: ") :]
    assert told.startswith(f"gristmill serve: {publish}/b/bad.py was not published: it ended with exit")
    assert "    so far\n    no such table" in told
    adding(publish, name="b/bad.py")
    with stopping(start_server(tmp_path, "--publish", str(publish))) as server:
        log = server.log.read_text()
        assert "a/good.py" not in log  # it was published by the first
        assert "publishing 1 of 1: b/bad.py" in log


def test_a_script_that_hangs_is_ended(tmp_path: Path, publish: Path) -> None:
    adding(publish, before="import time; print('waiting', flush=True); time.sleep(1000)")
    status, log = failing(tmp_path, "--publish", str(publish), "--publish-seconds", "2")
    assert status == 1
    assert "it did not end within 2 s" in log
    assert "    waiting" in log


def test_while_it_publishes_it_lives_is_not_ready_and_answers(
    tmp_path: Path, publish: Path, port: int
) -> None:
    flag, go_on = tmp_path / "begun", tmp_path / "go-on"
    adding(
        publish,
        before=f"import os, time; open({str(flag)!r}, 'w').write(os.environ['GRISTMILL_PASSWORD'] + '\\n')\n"
        f"while not os.path.exists({str(go_on)!r}): time.sleep(0.02)",
    )
    url = f"http://127.0.0.1:{port}"
    with starting(tmp_path, port, "--publish", str(publish)) as process:
        password = wait_for(flag)
        assert httpx.get(f"{url}/health/live").status_code == 200
        ready = httpx.get(f"{url}/health/ready")
        assert ready.status_code == 503
        assert ready.json()["message"] == "the server is publishing: 1 of 1"
        login = {"username": "admin", "password": password}
        tokens = httpx.post(f"{url}/login", json=login).raise_for_status().json()
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert httpx.get(f"{url}/services", headers=bearer).status_code == 200
        httpx.post(f"{url}/login", json={**login, "password": ADMIN_PASSWORD}).raise_for_status()
        go_on.touch()
        until = time.monotonic() + 60
        while httpx.get(f"{url}/health/ready").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert httpx.post(f"{url}/login", json=login).status_code == 401
        assert httpx.get(f"{url}/services", headers=bearer).status_code == 401
        renewal = {"refreshToken": tokens["refresh_token"]}
        assert httpx.post(f"{url}/login/refreshToken", json=renewal).status_code == 401
        assert password.encode() not in (tmp_path / "data/gristmill.db").read_bytes()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_meanwhile_it_ends_at_once_and_so_does_the_script(
    tmp_path: Path, publish: Path, port: int, number: signal.Signals
) -> None:
    flag = tmp_path / "begun"
    adding(
        publish,
        before=HANGING.format(flag=str(flag)),
    )
    with starting(tmp_path, port, "--publish", str(publish)) as process:
        pid = int(wait_for(flag))
        begun = time.monotonic()
        process.send_signal(number)
        assert process.wait(30) == 0
        assert time.monotonic() - begun < 5
        assert gone(pid)
    log = (tmp_path / "server.log").read_text()
    assert "stopped" in log
    assert " is ready at " not in log
    adding(publish)
    with stopping(start_server(tmp_path, "--publish", str(publish))) as server:
        assert result(server) == 2.0


def test_killed_meanwhile_the_next_start_ends_well(tmp_path: Path, publish: Path, port: int) -> None:
    flag = tmp_path / "begun"
    after = HANGING.format(flag=str(flag))
    script = adding(publish)
    complete = script.read_text()
    script.write_text(complete + after)
    with starting(tmp_path, port, "--publish", str(publish)) as process:
        pid = int(wait_for(flag))  # the service is published; its bundle is not
        process.kill()
        process.wait()
        assert gone(pid)
    script.write_text(complete)
    with stopping(start_server(tmp_path, "--publish", str(publish))) as server:
        assert result(server) == 2.0
        with server.client() as client:
            assert len(client.get("/services").json()) == 1


def test_two_servers_of_one_database_that_start_at_once_both_get_ready(tmp_path: Path, publish: Path) -> None:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    adding(publish)
    shared = ("--publish", str(publish), "--blobs", str(tmp_path / "blobs"))
    servers: list[Server] = []

    def start(name: str, database: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        servers.append(start_server(folder, "--database", database, *shared))

    with running_postgres(programs) as postgres:
        database = postgres.new_database()
        threads = [threading.Thread(target=start, args=(name, database)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(servers) == 2
        with stopping(servers[0]), stopping(servers[1]):
            assert [result(server) for server in servers] == [2.0, 2.0]
        start("three", database)
        with stopping(servers[2]) as third:
            assert "publishing" not in third.log.read_text()
            assert result(third) == 2.0


def test_a_folder_of_contents_belongs_to_one_database(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    blobs = ("--blobs", str(tmp_path / "blobs"))
    with stopping(start_server(one, *blobs)):
        status, log = failing(two, *blobs)
    assert status == 1
    assert "holds the contents of another database" in log
