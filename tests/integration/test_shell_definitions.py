"""Definitions of every shape: what may be published can be loaded, and what cannot ends no shell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.errors import InvalidInput
from gristmill.frames import Kind, Status
from gristmill.publishing import Limits, check_service, with_changes
from gristmill.python_shell.services import Service
from gristmill.schema import Form, Parameter, ParameterType, parse_parameters
from gristmill.services import Runtime, ServiceVersion
from tests.integration.shell_client import ShellClient, answer, snapshot

_TYPES = [each.value for each in ParameterType]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_texts = st.text(st.characters(codec=None), max_size=6) | st.sampled_from(["", "a\0b", "\ud800", "a" * 300])
_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,6}", fullmatch=True) | _texts | _json
_types = st.sampled_from([*_TYPES, "data.frame", "data.frame", "float", ""]) | _json
_columns = st.none() | st.lists(_texts | st.sampled_from(["a", "b"]), max_size=4) | _json
_forms = st.sampled_from([None, "frame", "array", "list", ""]) | _json
_definition = st.fixed_dictionaries(
    {}, optional={"name": _names, "type": _types, "columns": _columns, "form": _forms}
)
definitions = st.none() | st.lists(_definition | _json, max_size=4) | _json


def accepted(given: object) -> tuple[Parameter, ...] | None:
    """What publish, change and import make of definitions; None where they refuse them."""
    try:
        return parse_parameters(given, what="inputs")
    except InvalidInput:
        return None


@given(definitions, definitions, st.sampled_from(["Python", "R"]))
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_accepted_can_be_loaded_and_nothing_else(inputs: Any, outputs: Any, language: str) -> None:
    may = accepted(inputs) is not None and accepted(outputs) is not None
    service = Service("/nowhere", language)
    try:
        service.read({"inputs": inputs, "outputs": outputs})
    except InvalidInput:
        assert not may
    else:
        assert may


@given(definitions, st.sampled_from(["Python", "R"]))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_a_record_is_stored_only_if_its_definitions_can_be_loaded(inputs: Any, runtime: str) -> None:
    parsed = accepted(inputs)
    if parsed is not None and len({each.name for each in parsed}) == len(parsed):
        check_service(_version(Runtime(runtime), parsed), Limits())


@pytest.mark.parametrize(
    "strange",
    [
        Parameter("rows", ParameterType.DATA_FRAME, form=Form.ARRAY),
        Parameter("x", ParameterType.VECTOR, ("a",)),
        Parameter("x y", ParameterType.NUMERIC),
        Parameter("rows", ParameterType.DATA_FRAME, ("a", "a")),
    ],
)
def test_a_record_that_no_shell_can_load_is_refused_at_publish_and_at_change(strange: Parameter) -> None:
    with pytest.raises(InvalidInput, match=r"inputs\[0\]"):
        check_service(_version(Runtime.PYTHON, (strange,)), Limits())
    changed = with_changes(_version(Runtime.R, ()), {"outputs": (strange,)})
    with pytest.raises(InvalidInput, match=r"outputs\[0\]"):
        check_service(changed, Limits())


def test_definitions_whose_own_text_fails_are_refused_all_the_same() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for strange in (deep, 10**5000, "x" * 10**7):
        with pytest.raises(InvalidInput):
            parse_parameters([{"name": strange, "type": "numeric"}])
        with pytest.raises(InvalidInput):
            parse_parameters([{"name": "x", "type": strange}])
        with pytest.raises(InvalidInput):
            parse_parameters([{"name": "x", "type": "data.frame", "form": strange}])
        with pytest.raises(InvalidInput):
            parse_parameters([{"name": "x", "type": "data.frame", "columns": [[strange]]}])


@pytest.fixture(scope="module", params=["Python", "R"])
def lasting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ShellClient]:
    with ShellClient.session(tmp_path_factory.mktemp("lasting"), runtime=request.param) as made:
        yield made


@given(definitions, definitions)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_shell_loads_what_is_accepted_and_goes_on_after_the_rest(
    lasting: ShellClient, inputs: Any, outputs: Any
) -> None:
    may = accepted(inputs) is not None and accepted(outputs) is not None
    spec = {"name": "s", "version": "1", "code": "1", "initCode": "", "inputs": inputs, "outputs": outputs}
    lasting.send(Kind.LOAD, json.dumps(spec).encode(), handle=1)
    assert lasting.receive().status == (Status.OK if may else Status.FAILED)
    result = lasting.call(1, b"[7]")
    assert result["status"] in ({Status.INVALID} if may else {Status.FAILED})


def _version(runtime: Runtime, inputs: tuple[Parameter, ...]) -> ServiceVersion:
    return ServiceVersion(
        name="s", version="1", runtime=runtime, code="", owner="o", created=datetime.now(UTC), inputs=inputs
    )


@pytest.fixture(params=["Python", "R"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ShellClient]:
    with ShellClient.session(tmp_path, runtime=request.param) as made:
        yield made


_GOOD: dict[str, Any] = {"code": "y = 1", "outputs": [{"name": "y", "type": "numeric"}]}
_UNLOADABLE: dict[str, dict[str, Any]] = {
    "a form without columns": {"inputs": [{"name": "x", "type": "data.frame", "form": "array"}]},
    "columns of a vector": {"inputs": [{"name": "x", "type": "vector", "columns": ["a"]}]},
    "an unknown type": {"outputs": [{"name": "x", "type": "tensor"}]},
    "a definition that is none": {"inputs": ["x"]},
    "a name twice": {"inputs": [{"name": "x", "type": "vector"}] * 2},
    "code that is no text": {"code": "a = '\0'"},
    "half of a surrogate pair": {"code": "a = '\ud800'"},
    "code that does not parse": {"code": "y <- = ((("},
    "code nested deeply": {"code": "y = " + "(" * 5000 + "1" + ")" * 5000},
    "brackets beyond all bounds": {"code": "y = " + "[" * 200_000},
    "init code that fails": {"initCode": "this_is_not_defined()"},
    "init code without an end to its depth": {"initCode": "f = function(x) f(x)\nf(1)"},
    "files that are no list": {"outputFiles": 3},
}


@pytest.mark.parametrize("what", _UNLOADABLE)
def test_what_cannot_be_loaded_answers_its_calls_and_ends_no_shell(shell: ShellClient, what: str) -> None:
    assert shell.load(1, **_GOOD).status == Status.OK
    assert shell.load(2, **_UNLOADABLE[what]).status == Status.FAILED
    for _ in range(2):
        result = shell.call(2)
        assert result["status"] is Status.FAILED
        assert result["success"] is False
        assert result["errorMessage"]
    assert shell.score(1) == {"y": 1}


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + b"\0" * 100])
def test_a_content_that_cannot_be_unpacked_is_taken_in_and_keeps_no_other_waiting(
    shell: ShellClient, content: bytes
) -> None:
    """The descriptor of a LOAD that fails is received all the same: the next one's content is its own."""
    bad = {"inputs": [{"name": "x", "type": "data.frame", "form": "array"}]}
    assert shell.load(1, content, **bad).status == Status.FAILED
    assert shell.load(2, content, **_GOOD).status == Status.FAILED
    good: dict[str, Any] = {
        "outputs": [{"name": "y", "type": "numeric"}],
        "code": "y = int(open('n').read())",
    }
    if shell.about["language"].startswith("R"):
        good["code"] = "y <- as.numeric(readLines('n', warn = FALSE))"
    assert shell.load(3, snapshot({"n": b"7"}), **good).status == Status.OK
    assert shell.score(3) == {"y": 7}


def test_large_code_is_loaded_or_refused(shell: ShellClient) -> None:
    line = "a_long_name_of_a_variable = 'some text that makes the line longer than that'\n"
    code = line * (5_000_000 // len(line)) + "y = 1"
    shell.load(1, **{**_GOOD, "code": code})
    assert shell.call(1)["status"] in {Status.OK, Status.FAILED}


def test_a_load_that_cannot_be_read_ends_the_shell_before_descriptors_go_astray(tmp_path: Path) -> None:
    with ShellClient.session(tmp_path) as shell:
        shell.load(1, **_GOOD)
        shell.send(Kind.LOAD, b'{"code": "', handle=2)
        assert answer(shell.receive())["status"] is Status.BROKEN
        with pytest.raises(EOFError):
            shell.receive()


def test_a_service_of_an_old_folder_that_cannot_be_loaded_says_why(shell: ShellClient) -> None:
    """As the server sends what an earlier version accepted."""
    spec = {"inputs": [{"name": "rows", "type": "data.frame", "form": "array"}], **_GOOD}
    shell.load(1, **spec)
    body = json.dumps({"rows": {"a": [1]}}).encode()
    assert "needs the columns in their order" in shell.call(1, body)["errorMessage"]
