"""Batches, by the client's own methods."""

import os
import tempfile
import time
import unittest

import numpy as np
import pandas as pd
from azureml.common.http_client import HttpException
from refusals import refused


def work(x, name):
    with open("report.txt", "w") as file:
        file.write(f"{name}: {x}")
    return 10 / x


def service(client, name):
    """A service for batches; the story is skipped where the server has none."""
    made = client.deploy_service(
        name,
        version="1",
        code_fn=work,
        inputs={"x": int, "name": str},
        outputs={"y": float},
        artifacts=["report.txt"],
    )
    try:
        made.list_batch_executions()
    except HttpException as error:
        if error.status != 501:
            raise
        raise unittest.SkipTest("this server has no batches") from None
    return made


def finished(batch):
    """The results of a batch when all is done."""
    until = time.time() + 40
    while time.time() < until:
        results = batch.results()
        if results.state not in ("Pending", "Ready", "InProgress"):
            return results
        time.sleep(0.05)  # the client has nothing to wait on
    raise AssertionError("the batch did not end: " + results.state)


def a_batch_of_a_frame_answers_each_row_in_order(client):
    rows = pd.DataFrame({"name": ["a", "b", "c"], "x": [1, 2, 4]})
    batch = service(client, "ms-batch").batch(rows, parallel_count=2).start()
    assert batch.execution_id
    results = finished(batch)
    assert (results.state, results.completed_item_count, results.total_item_count) == ("Complete", 3, 3)
    assert [results.execution(index).output("y") for index in range(3)] == [10.0, 5.0, 2.5]
    assert results.execution(1).artifact("report.txt") == b"b: 2"


def records_may_be_lists_too_and_one_failure_is_one_failure(client):
    made = service(client, "ms-batch-fail")
    results = finished(made.batch({"x": [5, 0], "name": ["a", "b"]}).start())
    assert results.state == "Complete"
    assert results.execution(0).output("y") == 2.0
    assert "ZeroDivisionError" in results.execution(1).error
    results = finished(made.batch([{"x": 1, "name": "a"}]).start())
    assert results.execution(0).output("y") == 10.0


def files_of_an_item_are_listed_and_downloaded(client):
    made = service(client, "ms-batch-files")
    batch = made.batch({"x": [1, 2], "name": ["a", "b"]}).start()
    finished(batch)
    assert batch.list_artifacts(1) == ["report.txt"]
    assert batch.artifact(1, "report.txt") == b"b: 2"
    with tempfile.TemporaryDirectory() as folder:
        assert batch.download(0, None, folder) == [os.path.join(folder, "report.txt")]
        with open(os.path.join(folder, "report.txt")) as file:
            assert file.read() == "a: 1"


def executions_are_listed_got_again_and_cancelled(client):
    made = service(client, "ms-batch-list")
    batch = made.batch({"x": [1], "name": ["a"]}).start()
    finished(batch)
    assert batch.execution_id in made.list_batch_executions()
    assert made.get_batch(batch.execution_id).results().total_item_count == 1
    batch.cancel()
    assert batch.execution_id not in made.list_batch_executions()
    assert refused(batch.results)[0] == 404


def a_batch_may_take_arrays(client):
    service(client, "ms-batch-here")
    made = client.deploy_service(
        "ms-batch-array", version="1", code_str="y = v.sum()", inputs={"v": np.array}, outputs={"y": float}
    )
    results = finished(made.batch({"v": [np.array([1.0, 2.0]), np.array([3.0, 4.0])]}).start())
    assert [results.execution(index).output("y") for index in range(2)] == [3.0, 7.0]
