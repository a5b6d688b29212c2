"""Realtime services from the client: what is sent for a model, and which forms the rows may have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import gristmill
from gristmill.client import Client, Service, connect_async, errors
from gristmill.realtime import container
from tests.unit.client.fake import URL, FakeServer

BYTES = b"blob-gm\n and so on"


def scores(inputs: dict[str, Any]) -> dict[str, Any]:
    """The sum of the columns, as a server would answer."""
    columns = inputs["inputData"]
    return {"outputData": {"Score": [sum(cells) for cells in zip(*columns.values(), strict=True)]}}


@pytest.fixture
def service(client: Client, fake: FakeServer) -> Service:
    fake.score = scores
    return client.publish_realtime("sum", BYTES, version="1.0", description="Adds up.", alias="add")


def test_bytes_go_as_the_file_model_with_description_and_alias(service: Service, fake: FakeServer) -> None:
    assert fake.did()[0] == "POST /realtime-services/sum/1.0"
    sent = fake.asked[0].content
    assert b'name="model"; filename="sum.model"' in sent
    assert BYTES in sent
    assert b'name="description"' in sent
    assert b'name="operationId"' in sent
    assert (service.version, service.runtime) == ("1.0", "Realtime")


def test_the_server_chooses_a_version_if_none_is_given(client: Client, fake: FakeServer) -> None:
    assert client.publish_realtime("sum", BYTES).version == "chosen-by-server"
    assert fake.did()[0] == "POST /realtime-services/sum"


def test_a_fitted_model_is_serialized_with_its_sample(client: Client, fake: FakeServer) -> None:
    rows = pd.DataFrame({"x": [1.0, 2.0, 4.0], "n": [1, 0, 1]})
    model = LinearRegression().fit(rows, [1.0, 2.0, 3.0])
    client.publish_realtime("line", model, sample=rows, version="1")
    content = fake.asked[0].content
    start = content.index(b"blob-gm\n")
    found = container.read(content[start : content.index(b"\r\n--", start)])
    assert b'"model":"LinearRegression"' in found.description


def test_a_model_without_a_sample_and_what_is_no_model_are_refused(client: Client, fake: FakeServer) -> None:
    model = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
    with pytest.raises(errors.InvalidInput, match="line: give sample=, some rows"):
        client.publish_realtime("line", model)
    with pytest.raises(errors.InvalidInput, match="bytes that begin with b'blob'"):
        client.publish_realtime("line", b"\x80\x04pickle")
    with pytest.raises(errors.InvalidInput, match="expected a fitted model or a serialized one"):
        client.publish_realtime("line", "model.pkl")
    assert fake.asked == []


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"x": [1.5, 2.0], "n": [1, 2]}),
        pd.DataFrame({"n": [1, 2], "y": [0, 0], "x": [1.5, 2.0]}),
        {"x": [1.5, 2.0], "n": [1, 2]},
        np.array([[1.5, 1.0], [2.0, 2.0]]),
    ],
    ids=["frame", "frame with more columns", "dict of columns", "matrix"],
)
def test_rows_come_as_they_are_at_hand_and_a_frame_of_scores_goes_back(service: Service, rows: Any) -> None:
    answer = service.add(rows).output()
    pd.testing.assert_frame_equal(answer, pd.DataFrame({"Score": [2.5, 4.0]}))


def test_columns_may_be_given_by_keyword(service: Service, fake: FakeServer) -> None:
    assert service(x=[1.5], n=[1]).output("outputData")["Score"].tolist() == [2.5]
    assert fake.body("POST /api/sum/1.0") == {"inputData": {"x": [1.5], "n": [1]}}


def test_a_model_or_its_description_is_changed_in_place(
    client: Client, service: Service, fake: FakeServer
) -> None:
    fake.asked.clear()
    client.redeploy_realtime("sum", BYTES + b"2", version="1.0")
    assert fake.did()[1] == "PATCH /realtime-services/sum/1.0"
    assert BYTES + b"2" in fake.asked[1].content
    client.redeploy_realtime("sum", description="Other words.")
    assert b"blob" not in fake.asked[4].content
    with pytest.raises(errors.InvalidInput, match="there is nothing to change"):
        client.redeploy_realtime("sum")


async def test_the_asynchronous_client_publishes_and_calls_too(fake: FakeServer) -> None:
    fake.score = scores
    client = await connect_async(URL, username="ann", password="right", transport=fake.transport)
    async with client:
        service = await client.publish_realtime("sum", BYTES, version="1")
        answer = await service(x=[1.0], n=[2])
        assert answer.output()["Score"].tolist() == [3.0]


def test_serialize_model_is_at_hand_in_the_package() -> None:
    with pytest.raises(errors.InvalidInput, match="cannot become a realtime service"):
        gristmill.serialize_model(object(), np.ones((2, 2)))
