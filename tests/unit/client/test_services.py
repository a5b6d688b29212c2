"""Services as objects: what they show, how they are called, and what comes back."""

from __future__ import annotations

import base64
import inspect
import pydoc
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gristmill.client import Client, errors
from tests.unit.client.fake import FakeServer, described, problem

PRICE = described(
    "bos-rf",
    operationId="price",
    description="Prices of houses.",
    inputParameterDefinitions=[
        {"name": "rows", "type": "data.frame", "columns": ["rm", "lstat"]},
        {"name": "in.log", "type": "logical"},
        {"name": "lambda", "type": "numeric"},
    ],
    outputParameterDefinitions=[{"name": "pred", "type": "vector"}, {"name": "mean", "type": "numeric"}],
    outputFileNames=["plot.png"],
)
ROWS = pd.DataFrame({"rm": [6.0, 7.0], "lstat": [5.0, 4.0]})


def answer(**fields: Any) -> Any:
    whole = {"outputParameters": {"pred": [1.5, None], "mean": 1}, "consoleOutput": "scored\n", **fields}
    return lambda inputs: whole


@pytest.fixture
def service(client: Client, fake: FakeServer) -> Any:
    fake.services = [described("bos-rf", "0.9"), PRICE]
    fake.score = answer(outputFiles={"plot.png": base64.b64encode(b"png").decode()})
    return client.service("bos-rf")


def test_the_latest_version_is_the_last_published(service: Any) -> None:
    assert (service.name, service.version, service.alias) == ("bos-rf", "1.0", "price")
    assert service.description == "Prices of houses."
    assert [each.name for each in service.inputs] == ["rows", "in.log", "lambda"]
    assert (service.runtime, service.artifacts, service.code) == ("Python", ("plot.png",), "area = r * r")


def test_its_alias_is_a_method_that_help_and_completion_know(service: Any) -> None:
    assert str(inspect.signature(service.price)) == (
        "(rows: 'pandas.DataFrame', in_log: 'bool', lambda_: 'float') -> 'Result'"
    )
    shown = pydoc.plain(pydoc.render_doc(service.price))
    assert "Call bos-rf 1.0. Prices of houses." in shown
    assert "rows: pandas.DataFrame with the columns rm, lstat" in shown
    assert "plot.png" in shown
    assert "price" in dir(service)
    assert type(service).__name__ == "BosRfService"


@pytest.mark.parametrize(
    "call",
    [
        lambda service: service.price(ROWS, True, 1),
        lambda service: service(ROWS, in_log=True, lambda_=1),
        lambda service: service.call(rows=ROWS, **{"in.log": True, "lambda": 1}),
    ],
)
def test_inputs_may_be_given_in_order_or_by_either_form_of_their_name(
    service: Any, fake: FakeServer, call: Any
) -> None:
    call(service)
    assert fake.body("POST /api/bos-rf/1.0") == {
        "rows": {"rm": [6.0, 7.0], "lstat": [5.0, 4.0]},
        "in.log": True,
        "lambda": 1,
    }


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ((ROWS,), {}, "bos-rf 1.0: the input 'in.log' is missing; expected: rows, in.log, lambda"),
        ((1, 2, 3, 4), {}, "bos-rf 1.0: 4 inputs were given, 3 are expected: rows, in.log, lambda"),
        ((ROWS,), {"rows": ROWS}, "bos-rf 1.0: the input 'rows' was given twice"),
        ((ROWS,), {"log": 1}, "bos-rf 1.0: there is no input 'log'; expected: rows, in.log, lambda"),
        ((ROWS, True, "x"), {}, "bos-rf 1.0: input 'lambda': expected float, got str 'x'"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_anything_is_sent(
    service: Any, fake: FakeServer, args: Any, kwargs: Any, why: str
) -> None:
    asked = len(fake.asked)
    with pytest.raises(errors.InvalidInput) as raised:
        service.price(*args, **kwargs)
    assert str(raised.value) == why
    assert raised.value.service == "bos-rf 1.0"
    assert len(fake.asked) == asked


def test_what_the_server_refuses_is_told_with_what_was_expected_and_what_came(
    service: Any, fake: FakeServer
) -> None:
    fake.script = [problem(400, "InvalidInput", "input 'rows': column 'lstat' is missing")]
    with pytest.raises(errors.InvalidInput) as raised:
        service.price(ROWS[["rm"]], True, 1)
    assert raised.value.parameter == "rows"
    assert raised.value.expected == "pandas.DataFrame with the columns rm, lstat"
    assert raised.value.got == "pandas.DataFrame of shape 2 x 1"
    assert str(raised.value).startswith(
        "bos-rf 1.0: input 'rows': column 'lstat' is missing; expected pandas"
    )


def test_a_result_has_typed_outputs_files_and_console(service: Any, tmp_path: Path) -> None:
    result = service.price(ROWS, True, 1)
    assert result.success
    assert result.error is None
    assert result.output("pred").dtype == float
    assert result.outputs["mean"] == 1.0
    assert result.console_output == "scored\n"
    assert result.changed_files == []
    assert result.artifacts == ("plot.png",)
    assert result.artifact("plot.png") == b"png"
    assert result.save("plot.png", tmp_path).read_bytes() == b"png"
    assert repr(result).splitlines() == [
        "Result of bos-rf 1.0",
        "  pred: [1.5, nan]",
        "  mean: 1.0",
        "  files: plot.png (3 bytes)",
        "  console: scored",
    ]


def test_a_result_says_what_it_does_not_have(service: Any, fake: FakeServer) -> None:
    fake.score = answer(outputFiles={"plot.png": None})
    result = service.price(ROWS, True, 1)
    with pytest.raises(errors.NotFound, match=r"bos-rf 1.0: there is no output 'x'; there are: pred, mean"):
        result.output("x")
    with pytest.raises(errors.NotFound, match="say which output; there are: pred, mean"):
        result.output()
    with pytest.raises(errors.NotFound, match=r"there is no file 'plot.png'; the code did not write it"):
        result.artifact("plot.png")
    with pytest.raises(errors.NotFound, match=r"there is no file 'b'; there are: plot.png"):
        result.artifact("b")


def test_code_that_failed_shows_the_remote_traceback(service: Any, fake: FakeServer) -> None:
    remote = 'ValueError: no rows\nTraceback (most recent call last):\n  File "<bos-rf 1.0>", line 3'
    fake.score = answer(success=False, errorMessage=remote, outputParameters={})
    result = service.price(ROWS, True, 1)
    assert not result.success
    assert result.error == remote
    assert "failed: ValueError: no rows" in repr(result)
    with pytest.raises(errors.CodeFailed) as raised:
        result.output("pred")
    assert str(raised.value) == f"the code of bos-rf 1.0 failed: {remote}"
    assert (raised.value.remote, raised.value.console_output) == (remote, "scored\n")
    with pytest.raises(errors.CodeFailed):
        result.check()


def test_notebooks_get_tables_in_which_everything_is_escaped(
    service: Any, client: Client, fake: FakeServer
) -> None:
    fake.services[-1] = {**PRICE, "description": "<script>"}
    for shown in (client.service("bos-rf"), client.services(), service.price(ROWS, True, 1)):
        html = shown._repr_html_()
        assert html.startswith("<table")
        assert "<script>" not in html


def test_a_service_shows_how_it_is_called(service: Any) -> None:
    assert "call: price(rows: pandas.DataFrame, in_log: bool, lambda_: float) -> Result" in repr(service)
    assert service.capabilities()["operation"] == "price"
    assert service.capabilities()["swagger"].endswith("/api/bos-rf/1.0/swagger.json")
    assert service.swagger() == {"swagger": "2.0"}


def test_an_alias_that_the_object_needs_itself_is_called_by_call(client: Client, fake: FakeServer) -> None:
    fake.services = [described(operationId="version")]
    service = client.service("area")
    assert service.version == "1.0"
    assert service.call(2.0).output() == 4.0


def test_a_list_of_services_is_a_table(client: Client, fake: FakeServer) -> None:
    assert repr(client.services()) == "no services"
    fake.services = [PRICE]
    header, row = repr(client.services("bos-rf")).splitlines()
    assert header.split()[:3] == ["name", "version", "runtime"]
    assert row.split()[:3] == ["bos-rf", "1.0", "Python"]


def test_a_name_or_version_that_is_not_there_is_told_with_those_that_are(
    client: Client, fake: FakeServer
) -> None:
    fake.services = [PRICE]
    with pytest.raises(errors.NotFound, match="there is no service 'bos-fr'; is bos-rf meant"):
        client.service("bos-fr")
    with pytest.raises(errors.NotFound, match=r"bos-rf has no version '2'; there are: 1.0"):
        client.service("bos-rf", "2")


def test_deleting_names_the_version(service: Any, fake: FakeServer) -> None:
    service.delete()
    assert [each["version"] for each in fake.services] == ["0.9"]


def test_a_description_that_is_none_says_so(client: Client, fake: FakeServer) -> None:
    fake.services = [{"name": "x", "version": "1", "inputParameterDefinitions": [{"name": "a"}]}]
    with pytest.raises(errors.UnexpectedAnswer, match="described a service in an unknown way"):
        client.services()
