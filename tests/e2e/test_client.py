"""The Python client against a real server."""

# The functions are published, not called: names of theirs are missing on purpose.
# mypy: disable-error-code="name-defined, no-any-return, no-untyped-def, attr-defined"

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

import gristmill
from gristmill.client import Client, connect, connect_async, errors
from gristmill.client.profile import Saved
from gristmill.compat import DeployClient, MLServer
from tests.servers import Server

FLOWERS = load_iris(as_frame=True)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with connect(server.url, username="admin", password=server.password) as made:
        yield made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROFILE", str(tmp_path / "profile"))


def fill(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.fillna(frame.mean())


def species(measures: pd.DataFrame) -> np.ndarray:
    """Species of irises, by their measures."""
    print("scoring", len(measures))
    return model.predict(fill(measures))  # noqa: F821


def test_a_scikit_learn_model_scores_as_it_does_here(client: Client) -> None:
    model = RandomForestClassifier(20, random_state=1).fit(FLOWERS.data, FLOWERS.target)
    service = client.publish(
        "e2e-iris", species, models={"model": model}, objects={"fill": fill}, inputs=FLOWERS.data, version="1"
    )
    assert service.description == "Species of irises, by their measures."
    rows = FLOWERS.data.sample(20, random_state=2)
    rows.iloc[3, 1] = np.nan
    result = service.species(rows)
    assert result.output().tolist() == model.predict(fill(rows)).tolist()
    assert result.console_output == "scoring 20\n"
    with pytest.raises(errors.InvalidInput) as raised:
        service.species(rows.iloc[:, :2])
    assert raised.value.parameter == "measures"
    assert "petal length (cm)" in str(raised.value)
    again = client.service("e2e-iris")
    assert again.inputs[0].columns == tuple(FLOWERS.data.columns)
    assert again.swagger()["info"]["title"] == "e2e-iris"


def test_every_type_goes_there_and_comes_back(client: Client) -> None:
    def echo(l: bool, i: int, n: float, c: str, v: np.ndarray, m, d: pd.DataFrame):  # noqa: E741
        assert (type(l), type(i), type(n), type(c)) == (bool, int, float, str)
        return l, i, n, c, v, m, d

    outputs = {
        "lo": bool, "io": int, "no": float, "co": str, "vo": np.ndarray, "mo": np.matrix, "do": pd.DataFrame
    }  # fmt: skip
    service = client.publish("e2e-types", echo, inputs={"m": np.matrix}, outputs=outputs)
    frame = pd.DataFrame(
        {"x": [0.1, np.nan], "s": ["ä", None], "t": pd.to_datetime(["2026-11-22", "2026-11-23"])}
    )
    given = [True, 7, 1 / 3, "ü\n", np.array([1e-300, np.nan]), np.arange(6).reshape(3, 2), frame]
    outputs_back = service.echo(*given).outputs
    assert [outputs_back[name] for name in ("lo", "io", "no", "co")] == given[:4]
    np.testing.assert_array_equal(outputs_back["vo"], given[4])
    np.testing.assert_array_equal(outputs_back["mo"], given[5])
    assert outputs_back["do"]["x"].tolist()[0] == 0.1
    assert outputs_back["do"]["s"].isna().tolist() == [False, True]
    assert outputs_back["do"]["t"].tolist() == ["2026-11-22T00:00:00", "2026-11-23T00:00:00"]


def test_init_code_files_artifacts_and_several_outputs(client: Client, tmp_path: Path) -> None:
    def prepare() -> None:
        global greeting  # noqa: PLW0603
        greeting = "hello"

    def write(name: str):
        with open("notes.txt") as file, open("out.txt", "w") as out:
            out.write(f"{greeting} {name}, {file.read()}")
        return name.upper(), len(name)

    service = client.publish(
        "e2e-files",
        write,
        init=prepare,
        files={"notes.txt": b"well"},
        outputs={"loud": str, "length": int},
        artifacts=["out.txt"],
    )
    result = service.write("ann")
    assert result.outputs == {"loud": "ANN", "length": 3}
    assert result.artifact("out.txt") == b"hello ann, well"
    assert result.save("out.txt", tmp_path).read_text() == "hello ann, well"
    assert result.changed_files == ["out.txt"]


def test_code_that_fails_brings_the_remote_traceback(client: Client) -> None:
    def ratio(a: float, b: float) -> float:
        print("dividing")
        return a / b

    result = client.publish("e2e-ratio", ratio).ratio(1, 0)
    with pytest.raises(
        errors.CodeFailed, match=r"the code of e2e-ratio .* failed: ZeroDivisionError"
    ) as raised:
        result.output()
    assert "return a / b" in raised.value.remote
    assert "gristmill" not in raised.value.remote
    assert raised.value.console_output == "dividing\n"


def test_a_service_is_redeployed_in_place_and_deleted(client: Client) -> None:
    def add(x: float) -> float:
        return x + step  # noqa: F821

    def twice(x: float) -> float:
        return 2 * (x + step)  # noqa: F821

    service = client.publish("e2e-steps", add, objects={"step": 1}, version="1")
    assert service.add(1).output() == 2.0
    assert client.redeploy("e2e-steps", objects={"step": 10}).add(1).output() == 11.0
    service = client.redeploy("e2e-steps", twice, description="Twice.")
    assert (service.alias, service.description) == ("twice", "Twice.")
    assert service.twice(1).output() == 22.0
    with pytest.raises(errors.Conflict):
        client.publish("e2e-steps", add, objects={"step": 1}, version="1")
    service.delete()
    with pytest.raises(errors.NotFound, match="there is no service 'e2e-steps'"):
        client.service("e2e-steps")


def test_code_that_does_not_parse_is_refused_by_the_server_too(client: Client) -> None:
    with pytest.raises(errors.InvalidInput, match=r"e2e-broken 1: publishing: .*unexpected end of input"):
        client.publish("e2e-broken", "y <- (", runtime="R", version="1")


@pytest.mark.needs_r
def test_r_code_is_published_as_text_and_its_service_called_from_python(client: Client) -> None:
    service = client.publish(
        "e2e-r",
        "fit <- lm(dist ~ speed, cars)\npred <- unname(predict(fit, rows))\nkept <- rows",
        runtime="R",
        inputs={"rows": pd.DataFrame({"speed": [1.0]}), "in.log": bool},
        outputs={"pred": "vector", "kept": "data.frame"},
        alias="stopping.distance",
    )
    result = service.stopping_distance(pd.DataFrame({"speed": [10.0, 20.0]}), in_log=False)
    assert result.output("pred") == pytest.approx([21.744993, 61.069080], abs=1e-5)
    assert result.output("kept").to_dict("list") == {"speed": [10, 20]}


def test_a_session_of_python_takes_objects_files_and_code(client: Client, tmp_path: Path) -> None:
    with client.session() as session:
        session.put(frame=FLOWERS.data, k={1, 2})
        assert session.objects() == ["frame", "k"]
        assert session.get("frame").equals(FLOWERS.data)
        session.upload(b"a,b\n1,2\n", "rows.csv")
        result = session.execute(
            "import pandas\nrows = pandas.read_csv('rows.csv')\nn = len(frame) + extra\nprint('read')",
            inputs={"extra": 5},
            outputs=["n", "rows"],
        )
        assert result.output("n") == 155
        assert result.output("rows").to_dict("list") == {"a": [1], "b": [2]}
        assert result.console_output == "read\n"
        assert (session.execute("1/0").error or "").splitlines()[0] == "ZeroDivisionError: division by zero"
        assert session.download("rows.csv", tmp_path) == b"a,b\n1,2\n"
        snapshot = session.snapshot("kept")
    assert snapshot in [each["id"] for each in client.snapshots()]
    with client.session(snapshot=snapshot) as session:
        assert session.get("k") == {1, 2}
        assert session.files() == ["rows.csv"]
    client.delete_snapshot(snapshot)
    with pytest.raises(errors.NotFound):
        session.objects()


@pytest.mark.needs_r
def test_a_session_of_r_takes_values_and_draws(client: Client) -> None:
    with client.session("R") as session:
        session.put(x=np.array([1.0, 2.0, np.nan]), frame=pd.DataFrame({"a": [1, 2]}))
        np.testing.assert_array_equal(session.get("x"), [1.0, 2.0, np.nan])
        result = session.execute("plot(frame$a); m <- mean(x, na.rm = TRUE)", outputs="m")
        assert result.output("m") == 1.5
        assert session.download(result.changed_files[0]).startswith(b"\x89PNG")


def test_what_runs_can_be_watched_and_cancelled_from_another_thread(client: Client) -> None:
    with client.session() as session:
        results: list[Any] = []
        code = "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.01)"
        worker = threading.Thread(target=lambda: results.append(session.execute(code)))
        worker.start()
        while session.console() != "begun\n":
            assert worker.is_alive()
        session.cancel()
        worker.join()
        assert results[0].error == "execution was cancelled"
        assert session.execute("x = 1").success


def test_a_token_that_the_server_no_longer_takes_is_renewed(server: Server) -> None:
    with connect(server.url, username="admin", password=server.password) as client:
        login = client._inner._connection.login
        assert login._saved is not None
        login._saved = Saved("admin", "expired", login._saved.refresh_token, 0.0)
        client.services()
        assert login.token != "expired"
        login._saved = Saved("admin", "expired", "expired", 0.0)
        client.services()


def test_processes_that_share_a_login_do_not_log_each_other_out(server: Server) -> None:
    one = connect(server.url, username="admin", password=server.password, save=True)
    two = connect(server.url)
    for client in (one, two, one):
        login = client._inner._connection.login
        assert login._saved is not None
        broken = Saved("admin", "expired", login._saved.refresh_token, 0.0)
        login._saved = broken
        if client is one:
            login._profile._write({"servers": {server.url: vars(broken)}, "current": server.url})  # type: ignore[union-attr]
        client.services()
    one.logout()
    with pytest.raises(errors.NotAuthenticated):
        two.services()


def test_wrong_passwords_and_wrong_addresses_say_so(server: Server) -> None:
    with pytest.raises(errors.NotAuthenticated, match="as admin: the user name or the password is wrong"):
        connect(server.url, username="admin", password="wrong")
    with pytest.raises(errors.Unreachable, match=r"nothing answers at http://127.0.0.1:9"):
        connect("http://127.0.0.1:9", username="admin", password="x")


async def test_many_calls_run_at_once_on_an_event_loop(server: Server, client: Client) -> None:
    client.publish(
        "e2e-half", "y = x / 2", inputs={"x": float}, outputs={"y": float}, alias="half", version="1"
    )
    asynchronous = await connect_async(server.url, username="admin", password=server.password)
    async with asynchronous:
        service = await asynchronous.service("e2e-half")
        results = await asyncio.gather(*(service.half(n) for n in range(50)))
        assert [each.output() for each in results] == [n / 2 for n in range(50)]
        assert [each.version for each in await asynchronous.services("e2e-half")] == ["1"]


@pytest.mark.timeout(120)
def test_calls_that_a_busy_server_turns_away_are_repeated(serve: Callable[..., Server]) -> None:
    server = serve("--pool-initial", "1", "--pool-max", "1", "--queue-length", "0")
    with connect(server.url, username="admin", password=server.password, retries=12) as client:
        code = "import time\ntime.sleep(0.2)\ny = x"
        service = client.publish("slow", code, inputs={"x": int}, outputs={"y": int}, alias="slow")
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda n=n: answers.append(service.slow(n).output())) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [0, 1, 2, 3]


def test_the_packages_own_functions_work_on_the_server_of_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_URL", server.url)
    monkeypatch.setenv("GRISTMILL_PASSWORD", server.password)
    assert gristmill.connect().status()["statusCode"] in {"pass", "warn"}
    gristmill.publish("e2e-top", "y = 1", outputs={"y": int}, version="1")
    assert gristmill.service("e2e-top").consume().output() == 1
    gristmill.delete("e2e-top", "1")


def test_a_script_of_the_old_client_runs_with_another_import(server: Server) -> None:
    def transmission(hp, wt, names):
        with open("plot.png", "wb") as file:
            file.write(b"png")
        print("ran")
        return pd.DataFrame({"answer": [hp * wt * k], "n": [len(names)]})  # noqa: F821

    client = DeployClient(server.url, use=MLServer, auth=("admin", server.password))
    service = (
        client.service("e2e-compat")
        .version("v1")
        .code_fn(transmission)
        .objects(k=2)
        .inputs(hp=float, wt=int, names=np.array)
        .outputs(answer=pd.DataFrame)
        .artifact("plot.png")
        .deploy()
    )
    response = service.transmission("1.5", 2, np.array(["a", "b"]))
    assert response.error == ""
    assert response.output("answer").to_dict("list") == {"answer": [6], "n": [2]}
    assert response.artifact("plot.png") == b"png"
    assert response.console_output == "ran\n"
    service = client.redeploy_service(
        "e2e-compat", version="v1", code_str="answer = names", outputs={"answer": list}
    )
    assert service.capabilities()["outputs_encoded"] == [{"name": "answer", "type": "numpy.array"}]
    assert client.delete_service("e2e-compat", version="v1")
