"""Models of Python published as realtime services by the client, and called in all forms that rows have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import gristmill
from gristmill.client import Client, Service, connect, connect_async, errors
from gristmill.compat import DeployClient
from tests.integration.python_models import NUMBERS, TEXTS, gaps, mixed, people
from tests.servers import Server

COLUMNS = [*NUMBERS, *TEXTS, "owns"]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with connect(server.url, username="admin", password=server.password) as made:
        yield made


@pytest.fixture(scope="module")
def line() -> LinearRegression:
    return LinearRegression().fit(people()[NUMBERS], people()["value"])


@pytest.fixture(scope="module")
def service(client: Client, line: LinearRegression) -> Service:
    return client.publish_realtime(
        "rt-line",
        line,
        sample=people()[NUMBERS],
        version="1",
        alias="value",
        description="What one is worth.",
    )


def test_it_is_described_and_called_by_its_alias(service: Service, line: LinearRegression) -> None:
    assert (service.runtime, service.description) == ("Realtime", "What one is worth.")
    assert service.inputs[0].columns == tuple(NUMBERS)
    rows = people(seed=5)
    answer = service.value(rows).output()
    assert list(answer.columns) == ["Score"]
    np.testing.assert_allclose(answer["Score"], line.predict(rows[NUMBERS]), rtol=1e-12)


@pytest.mark.parametrize(
    "rows",
    [{"age": [30.0], "pay": [100], "children": [2]}, np.array([[30.0, 100.0, 2.0]])],
    ids=["columns", "matrix"],
)
def test_rows_may_be_columns_or_a_matrix(service: Service, line: LinearRegression, rows: Any) -> None:
    wanted = line.predict(pd.DataFrame([[30.0, 100.0, 2.0]], columns=NUMBERS))[0]
    assert service(rows).output("outputData")["Score"][0] == pytest.approx(wanted, rel=1e-12)


def test_columns_may_be_keywords_and_a_null_is_refused_by_name(service: Service) -> None:
    assert len(service(age=[30.0], pay=[100.0], children=[2]).output()) == 1
    with pytest.raises(errors.InvalidInput, match="age"):
        service(age=[None], pay=[100.0], children=[2])
    with pytest.raises(errors.InvalidInput, match="children"):
        service(age=[30.0], pay=[100.0])


@pytest.mark.filterwarnings("ignore")
def test_a_pipeline_over_texts_with_gaps_classifies_as_it_does_here(client: Client) -> None:
    from sklearn.preprocessing import OneHotEncoder

    rows = gaps(unseen=True)[COLUMNS]
    final = LogisticRegression(max_iter=500)
    model = mixed(OneHotEncoder(handle_unknown="ignore"), final).fit(gaps()[COLUMNS], gaps()["grade"])
    answer = client.publish_realtime("rt-grade", model, sample=rows, version="1")(rows).output()
    assert answer["PredictedLabel"].tolist() == model.predict(rows).tolist()
    names = [f"Probability.{label}" for label in model.classes_]
    np.testing.assert_allclose(answer[names], model.predict_proba(rows), rtol=1e-12)


def test_a_redeployed_model_scores_the_next_call(client: Client, line: LinearRegression) -> None:
    rows = people(20)[NUMBERS]
    client.publish_realtime("rt-again", line, sample=rows, version="1")
    other = LinearRegression().fit(rows, np.arange(20.0))
    service = client.redeploy_realtime("rt-again", other, sample=rows, version="1", description="Anew.")
    assert service.description == "Anew."
    np.testing.assert_allclose(service(rows).output()["Score"], other.predict(rows), rtol=1e-9, atol=1e-9)


def test_a_damaged_model_and_a_taken_version_are_refused(client: Client, line: LinearRegression) -> None:
    data = gristmill.serialize_model(line, people(20)[NUMBERS])
    with pytest.raises(errors.InvalidInput, match="was cut off"):
        client.publish_realtime("rt-bad", data[:-1])
    chosen = client.publish_realtime("rt-taken", data)
    with pytest.raises(errors.Conflict):
        client.publish_realtime("rt-taken", data, version=chosen.version)


async def test_the_asynchronous_client_does_the_same(server: Server, line: LinearRegression) -> None:
    rows = people(20)[NUMBERS]
    async with await connect_async(server.url, username="admin", password=server.password) as client:
        service = await client.publish_realtime("rt-async", line, sample=rows)
        answer = await service(rows)
        assert answer.output()["Score"].tolist() == pytest.approx(line.predict(rows).tolist(), rel=1e-12)


def test_scripts_for_ml_servers_client_publish_and_call(server: Server, line: LinearRegression) -> None:
    client = DeployClient(server.url, auth=("admin", server.password))
    rows = people(20)[NUMBERS]
    data = gristmill.serialize_model(line, rows)
    definition = client.realtime_service("rt-fluent").version("1.0").alias("score").serialized_model(data)
    answer = definition.description("As before.").deploy().score(rows)
    assert answer.output("outputData")["Score"].tolist() == pytest.approx(
        line.predict(rows).tolist(), rel=1e-12
    )
    assert definition.redeploy().description == "As before."
    assert client.get_service("rt-fluent", version="1.0").capabilities()["runtime"] == "Realtime"
