"""Consuming a service, sentence by sentence of the protocol; both languages."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import httpx
import pytest
from jsonschema import Draft4Validator

from tests.e2e.protocol import BOTH, accepted, refused
from tests.e2e.publishing import call, publish

pytestmark = pytest.mark.timeout(120)


def publish_any(client: httpx.Client, runtime: str, python: str, r: str, **more: Any) -> str:
    """Path of a new service with code in either language."""
    code = python if runtime == "Python" else r
    return publish(client, f"c-{uuid.uuid4().hex[:8]}", code, runtime=runtime, **more)


def result_of(client: httpx.Client, path: str, **inputs: Any) -> dict[str, Any]:
    return dict(accepted(client.post(path, json=inputs), "result"))


@BOTH
def test_the_answer_has_its_six_fields_in_order(admin: httpx.Client, runtime: str) -> None:
    path = publish_any(admin, runtime, "y = x", "y <- x", inputs={"x": "numeric"}, outputs={"y": "numeric"})
    answer = admin.post(path, json={"x": 1.5})
    accepted(answer, "result")
    assert answer.text == (
        '{"success":true,"errorMessage":"","outputParameters":{"y":1.5},"outputFiles":{},'
        '"consoleOutput":"","changedFiles":[]}'
    )


@BOTH
def test_outputs_come_in_the_order_in_which_they_were_declared(admin: httpx.Client, runtime: str) -> None:
    outputs = {"z": "numeric", "a": "numeric", "m": "numeric"}
    path = publish_any(admin, runtime, "a = 1; m = 2; z = 3", "a <- 1; m <- 2; z <- 3", outputs=outputs)
    assert list(call(admin, path)) == ["z", "a", "m"]


@BOTH
def test_extra_white_space_around_the_json_is_accepted(admin: httpx.Client, runtime: str) -> None:
    path = publish_any(admin, runtime, "y = x", "y <- x", inputs={"x": "numeric"}, outputs={"y": "numeric"})
    for body in (b'{"x":1}\n', b' \r\n\t{ "x" : 1 } \r\n\r\n', b'{"x":1}' + b" " * 10_000):
        result = accepted(admin.post(path, content=body), "result")
        assert result["outputParameters"] == {"y": 1}


@BOTH
def test_without_inputs_the_body_may_be_empty_or_an_empty_list_as_r_writes_it(
    admin: httpx.Client, runtime: str
) -> None:
    path = publish_any(admin, runtime, "y = 1", "y <- 1", outputs={"y": "numeric"})
    for body in (b"{}", b"", b"[]"):
        result = accepted(admin.post(path, content=body), "result")
        assert result["outputParameters"] == {"y": 1}


@BOTH
def test_the_content_type_of_the_request_does_not_matter(admin: httpx.Client, runtime: str) -> None:
    path = publish_any(admin, runtime, "y = x", "y <- x", inputs={"x": "numeric"}, outputs={"y": "numeric"})
    for kind in ("application/json", "application/json; charset=utf-8", "text/plain", ""):
        answer = admin.post(path, content=b'{"x":1}', headers={"Content-Type": kind})
        assert accepted(answer, "result")["outputParameters"] == {"y": 1}


@BOTH
def test_output_files_are_base64_and_null_where_none_was_written(admin: httpx.Client, runtime: str) -> None:
    python = "open('a.bin', 'wb').write(bytes(range(256))); open('other.txt', 'w').write('x')"
    r = "writeBin(as.raw(0:255), 'a.bin'); cat('x', file = 'other.txt')"
    path = publish_any(admin, runtime, python, r, outputFileNames=["a.bin", "not-written.png"])
    for _ in range(2):
        result = result_of(admin, path)
        assert list(result["outputFiles"]) == ["a.bin", "not-written.png"]
        assert base64.b64decode(result["outputFiles"]["a.bin"], validate=True) == bytes(range(256))
        assert result["outputFiles"]["not-written.png"] is None
        assert result["changedFiles"] == ["a.bin", "other.txt"]


@BOTH
def test_what_a_call_prints_is_its_console_output_and_no_other_calls(
    admin: httpx.Client, runtime: str
) -> None:
    python = "import sys; print('out é', who); print('err', file=sys.stderr)"
    r = "cat('out \\u00e9', who, '\\n'); message('err')"
    path = publish_any(admin, runtime, python, r, inputs={"who": "character"})
    for who in ("ann", "bob"):
        console = result_of(admin, path, who=who)["consoleOutput"]
        assert f"out é {who}" in console
        assert "err" in console
        assert console.count("out") == 1


@BOTH
def test_a_value_at_the_top_level_of_r_code_prints_nothing(admin: httpx.Client, runtime: str) -> None:
    assert result_of(admin, publish_any(admin, runtime, "1 + 1", "invisible(1 + 1)"))["consoleOutput"] == ""


@BOTH
def test_a_failure_in_user_code_is_200_with_its_message_and_lines(admin: httpx.Client, runtime: str) -> None:
    python = "def inner():\n    raise ValueError('no good: é')\n\ninner()\n"
    r = "inner <- function() {\n    stop('no good: \\u00e9')\n}\ninner()\n"
    path = publish_any(admin, runtime, python, r, outputs={"y": "numeric"}, outputFileNames=["a"])
    result = result_of(admin, path)
    assert result["success"] is False
    assert "no good: é" in result["errorMessage"]
    assert "inner" in result["errorMessage"]
    assert "gristmill" not in result["errorMessage"]
    assert result["outputParameters"] == {}


@BOTH
def test_an_output_that_the_code_did_not_set_is_a_failure_that_names_it(
    admin: httpx.Client, runtime: str
) -> None:
    path = publish_any(admin, runtime, "x = 1", "x <- 1", outputs={"missing_one": "numeric"})
    result = result_of(admin, path)
    assert result["success"] is False
    assert "missing_one" in result["errorMessage"]


@BOTH
def test_an_output_of_another_type_than_declared_is_a_failure_that_names_it(
    admin: httpx.Client, runtime: str
) -> None:
    for kind in ("numeric", "integer", "logical"):
        path = publish_any(admin, runtime, "y = 'text'", "y <- 'text'", outputs={"y": kind})
        result = result_of(admin, path)
        assert result["success"] is False
        assert "y" in result["errorMessage"]
        assert kind in result["errorMessage"]


@BOTH
def test_wrong_inputs_are_400_naming_the_parameter_what_was_expected_and_what_came(
    admin: httpx.Client, runtime: str
) -> None:
    path = publish_any(admin, runtime, "y = 1", "y <- 1", inputs={"amount": "numeric"})
    for body, words in [
        ({"amount": "much"}, ["amount", "numeric", "much"]),
        ({"amount": [1, 2]}, ["amount", "numeric", "length 2"]),
        ({"amount": {"a": 1}}, ["amount", "numeric", "object"]),
        ({}, ["amount", "missing"]),
        ({"amount": 1, "more": 2}, ["more"]),
        ([], ["amount", "missing"]),
        ([1], ["object"]),
    ]:
        message = refused(admin.post(path, json=body), 400)
        for word in words:
            assert word in message, message


@BOTH
@pytest.mark.parametrize("body", [b"{", b"nul", b'{"x":NaN}', b'{"x":1,}', b'{"x":1} {"x":2}', b"\xff"])
def test_malformed_json_is_400(admin: httpx.Client, runtime: str, body: bytes) -> None:
    name = f"malformed-{runtime}"
    if not admin.get(f"/services/{name}").json():
        publish(
            admin,
            name,
            "y = 1" if runtime == "Python" else "y <- 1",
            runtime=runtime,
            inputs={"x": "numeric"},
        )
    refused(admin.post(f"/api/{name}/1", content=body), 400)


@BOTH
def test_a_call_sees_nothing_of_another(admin: httpx.Client, runtime: str) -> None:
    """Neither variables nor files nor the working directory, whatever the call before did."""
    python = (
        "import os\n"
        "seen = sorted(set(globals()) & {'leak', 'x2'}) + sorted(os.listdir('.'))\n"
        "leak = x\n"
        "x2 = x\n"
        "open('left.txt', 'w').write('x')\n"
        "os.mkdir('below'); os.chdir('below')\n"
    )
    r = (
        "seen <- list.files('.', all.files = TRUE, no.. = TRUE)\n"
        "if (exists('leak') || exists('x2')) seen <- c(seen, 'above')\n"
        "leak <<- x; x2 <- x; assign('leak', x, envir = globalenv())\n"
        "cat('x', file = 'left.txt'); dir.create('below'); setwd('below')\n"
    )
    path = publish_any(admin, runtime, python, r, inputs={"x": "numeric"}, outputs={"seen": "vector"})
    for n in range(6):
        assert call(admin, path, x=n) == {"seen": []}


@BOTH
def test_a_call_that_changes_what_the_init_code_made_changes_it_for_itself_only(
    admin: httpx.Client, runtime: str
) -> None:
    python, r = "total = total + x", "total <- total + x"
    init = "total = 100" if runtime == "Python" else "total <- 100"
    path = publish_any(
        admin, runtime, python, r, inputs={"x": "numeric"}, outputs={"total": "numeric"}, initCode=init
    )
    for _ in range(4):
        assert call(admin, path, x=1) == {"total": 101}


@BOTH
def test_two_versions_of_a_name_are_two_services(admin: httpx.Client, runtime: str) -> None:
    name = f"versions-{runtime}"
    for version in ("1.0", "2.0"):
        code = f"y = '{version}'" if runtime == "Python" else f"y <- '{version}'"
        publish(admin, name, code, runtime=runtime, outputs={"y": "character"}, version=version)
    for version in ("1.0", "2.0", "1.0"):
        assert call(admin, f"/api/{name}/{version}") == {"y": version}


@BOTH
def test_code_as_clients_make_it_of_a_function(admin: httpx.Client, runtime: str) -> None:
    """The function's source, then its call; the inputs by name; the outputs read by name."""
    python = "def predict(hp, wt):\n    return [h + w for h, w in zip(hp, wt)]\nanswer = predict(hp, wt)\n"
    r = "answer <- (function(hp, wt) {\n    hp + wt\n})(hp, wt)"
    path = publish_any(
        admin, runtime, python, r, inputs={"hp": "vector", "wt": "vector"}, outputs={"answer": "vector"}
    )
    assert call(admin, path, hp=[1, 2], wt=[10, 20]) == {"answer": [11, 22]}


@BOTH
def test_an_unknown_service_or_version_is_404(admin: httpx.Client, runtime: str) -> None:
    path = publish_any(admin, runtime, "y = 1", "y <- 1")
    assert "no service" in refused(admin.post(f"{path}.1", json={}), 404)
    refused(admin.post("/api/never-published/1", json={}), 404)


def test_other_methods_on_a_service_are_405_and_name_post(admin: httpx.Client) -> None:
    path = publish_any(admin, "Python", "y = 1", "")
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = admin.request(method, path)
        refused(answer, 405)
        assert answer.headers["allow"] == "POST"


def test_a_service_without_outputs_answers_an_empty_object(admin: httpx.Client) -> None:
    assert result_of(admin, publish_any(admin, "Python", "y = 1", ""))["outputParameters"] == {}


@BOTH
def test_a_body_of_10_mb_of_numbers_works(admin: httpx.Client, runtime: str) -> None:
    path = publish_any(
        admin,
        runtime,
        "n = float(len(x))",
        "n <- length(x)",
        inputs={"x": "vector"},
        outputs={"n": "numeric"},
    )
    body = json.dumps({"x": [number / 7 for number in range(600_000)]})
    assert len(body) > 10_000_000
    result = accepted(admin.post(path, content=body), "result")
    assert result["outputParameters"] == {"n": 600_000}


def test_stage_times_come_when_asked_for_and_every_answer_has_an_id(admin: httpx.Client) -> None:
    path = publish_any(admin, "Python", "y = 1", "")
    answer = admin.post(f"{path}?timing", json={}, headers={"X-Request-Id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    for stage in ("queue", "load", "run", "encode"):
        assert stage in answer.headers["server-timing"]
    assert admin.post(path, json={}).headers["x-request-id"]


@pytest.mark.needs_r
def test_plots_of_an_r_service_are_files_of_the_call(admin: httpx.Client) -> None:
    path = publish(
        admin,
        "plotting",
        "plot(1:3); y <- length(dev.list())",
        runtime="R",
        outputFileNames=["Rplot001.png", "Rplot002.png"],
    )
    for _ in range(2):
        result = result_of(admin, path)
        assert result["success"], result["errorMessage"]
        assert result["changedFiles"] == ["Rplot001.png"]
        assert base64.b64decode(result["outputFiles"]["Rplot001.png"]).startswith(b"\x89PNG\r\n\x1a\n")
        assert result["outputFiles"]["Rplot002.png"] is None


@BOTH
def test_an_answer_is_what_the_services_own_swagger_says(admin: httpx.Client, runtime: str) -> None:
    kinds = {
        "l": "logical",
        "i": "integer",
        "n": "numeric",
        "c": "character",
        "v": "vector",
        "m": "matrix",
        "f": "frame",
    }
    path = publish_any(admin, runtime, "pass", "NULL", inputs=kinds, outputs=kinds, operationId="echo")
    document = accepted(admin.get(f"{path}/swagger.json"), "swagger")
    given = {"l": True, "i": 1, "n": 1.5, "c": "x", "v": [1, 2], "m": [[1, 2]], "f": {"a": [1], "b": ["x"]}}
    result = accepted(admin.post(path, json=given), "result")
    assert result["outputParameters"] == given
    for definition, content in (("InputParameters", given), ("WebServiceResult", result)):
        schema = {"$ref": f"#/definitions/{definition}", "definitions": document["definitions"]}
        assert [error.message for error in Draft4Validator(schema).iter_errors(content)] == []
    assert document["paths"][path]["post"]["operationId"] == "echo"


@pytest.mark.needs_r
def test_code_that_ends_r_is_that_calls_failure_and_no_others(admin: httpx.Client) -> None:
    name = f"ends-{uuid.uuid4().hex[:8]}"
    path = publish(
        admin,
        name,
        "if (x > 0) quit(); y <- 1",
        runtime="R",
        inputs={"x": "numeric"},
        outputs={"y": "numeric"},
    )
    for _ in range(2):
        ended = admin.post(path, json={"x": 1})
        assert ended.status_code == 200
        assert ended.json()["success"] is False
        assert "the R process ended with status 0" in ended.json()["errorMessage"]
        assert call(admin, path, x=0) == {"y": 1}
