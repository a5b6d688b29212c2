"""A batchable service under concurrent callers answers each one as if it had been alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.e2e.protocol import BOTH, accepted, refused
from tests.e2e.publishing import publish
from tests.servers import Server

pytestmark = pytest.mark.timeout(180)

CALLERS = 64
ROUNDS = 4
#: How many rows the code saw at once, for each of its rows: what tells that calls were run together.
CODE = {
    "vector": {
        "Python": "y = x * 2; seen = np.full(len(x), float(len(x)))",
        "R": "y <- x * 2; seen <- rep(length(x), length(x))",
    },
    "matrix": {
        "Python": "y = np.asarray(x) * 2; seen = np.full(len(x), float(len(x)))",
        "R": "y <- x * 2; seen <- rep(nrow(x), nrow(x))",
    },
    "frame": {
        "Python": "y = pd.DataFrame({'d': x['a'] * 2, 't': x['b'] + '!'}); seen = [float(len(x))] * len(x)",
        "R": "y <- data.frame(d = x$a * 2, t = paste0(x$b, '!')); seen <- rep(nrow(x), nrow(x))",
    },
}
SLOWLY = {"Python": "import time; time.sleep(0.01)\n", "R": "Sys.sleep(0.01)\n"}


def question(kind: str, caller: int, rows: int) -> Any:
    numbers = [caller * 1000 + row + 0.1 for row in range(rows)]
    if kind == "vector":
        return numbers
    if kind == "matrix":
        return [[number, -number] for number in numbers]
    return {"a": numbers, "b": [f"caller {caller} row {row}" for row in range(rows)]}


def right_answer(kind: str, asked: Any) -> Any:
    if kind == "vector":
        return [2 * number for number in asked]
    if kind == "matrix":
        return [[2 * number for number in row] for row in asked]
    return {"d": [2 * number for number in asked["a"]], "t": [text + "!" for text in asked["b"]]}


def publish_batchable(client: httpx.Client, runtime: str, kind: str, code: str, name: str) -> str:
    init = "import numpy as np, pandas as pd" if runtime == "Python" else ""
    return publish(
        client,
        f"batchable-{name}-{runtime}-{kind}",
        SLOWLY[runtime] + code,
        runtime=runtime,
        inputs={"x": kind},
        outputs={"y": kind, "seen": "vector"},
        initCode=init,
        batchable=True,
    )


def at_once(server: Server, client: httpx.Client, path: str, bodies: list[Any]) -> list[httpx.Response]:
    """The answers to calls that are all sent at the same time, each on a connection of its own."""

    async def send_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, headers=client.headers, timeout=60) as callers:
            return await asyncio.gather(*(callers.post(path, json=body) for body in bodies))

    return asyncio.run(send_all())


def most_seen_at_once(answers: list[Any]) -> Any:
    return max(max(answer["outputParameters"]["seen"]) for answer in answers)


@BOTH
@pytest.mark.parametrize("kind", list(CODE))
def test_each_of_64_concurrent_callers_gets_its_own_rows(
    admin: httpx.Client, server: Server, runtime: str, kind: str
) -> None:
    path = publish_batchable(admin, runtime, kind, CODE[kind][runtime], "rows")
    asked = [question(kind, caller, 1 + caller % 5) for caller in range(CALLERS)]
    seen = 0.0
    for _ in range(ROUNDS):
        answers = [
            accepted(a, "result") for a in at_once(server, admin, path, [{"x": each} for each in asked])
        ]
        assert [answer["outputParameters"]["y"] for answer in answers] == [
            right_answer(kind, each) for each in asked
        ]
        seen = max(seen, most_seen_at_once(answers))
    assert seen > 5, "no two calls were run together"


def with_one_bad(server: Server, client: httpx.Client, path: str, bad: Any) -> httpx.Response:
    """The answer to the bad call; all 63 others must be right."""
    asked = [question("vector", caller, 2) for caller in range(CALLERS)]
    bodies: list[Any] = [{"x": each} for each in asked]
    bodies[CALLERS // 2] = bad
    answers = at_once(server, client, path, bodies)
    for number, answer in enumerate(answers):
        if number != CALLERS // 2:
            expected = right_answer("vector", asked[number])
            assert accepted(answer, "result")["outputParameters"]["y"] == expected
    return answers[CALLERS // 2]


@BOTH
def test_one_ill_typed_call_among_64_is_400_and_the_others_are_right(
    admin: httpx.Client, server: Server, runtime: str
) -> None:
    path = publish_batchable(admin, runtime, "vector", CODE["vector"][runtime], "ill-typed")
    for bad in ({"x": {"a": 1}}, {"z": [1]}, [1]):
        assert refused(with_one_bad(server, admin, path, bad), 400)


@BOTH
def test_one_call_among_64_whose_rows_make_the_code_fail_fails_alone(
    admin: httpx.Client, server: Server, runtime: str
) -> None:
    python = "if (x < 0).any(): raise ValueError('negative')\n"
    r = "if (any(x < 0)) stop('negative')\n"
    code = (python if runtime == "Python" else r) + CODE["vector"][runtime]
    path = publish_batchable(admin, runtime, "vector", code, "failing")
    result = accepted(with_one_bad(server, admin, path, {"x": [-1, 2]}), "result")
    assert result["success"] is False
    assert "negative" in result["errorMessage"]


@BOTH
def test_one_call_among_64_that_prints_keeps_its_output_to_itself(
    admin: httpx.Client, server: Server, runtime: str
) -> None:
    python = "if (x < 0).any(): print('found', x.min())\n"
    r = "if (any(x < 0)) cat('found', min(x), '\\n')\n"
    code = (python if runtime == "Python" else r) + CODE["vector"][runtime]
    path = publish_batchable(admin, runtime, "vector", code, "printing")
    result = accepted(with_one_bad(server, admin, path, {"x": [-1, 2]}), "result")
    assert result["success"] is True
    assert result["consoleOutput"].split() == ["found", "-1"]


@BOTH
def test_one_call_among_64_that_ends_its_shell_costs_no_other(
    admin: httpx.Client, server: Server, runtime: str
) -> None:
    python = "import os\nif (x < 0).any(): os._exit(3)\n"
    r = "if (any(x < 0)) quit(status = 3)\n"
    code = (python if runtime == "Python" else r) + CODE["vector"][runtime]
    path = publish_batchable(admin, runtime, "vector", code, "ending")
    answer = with_one_bad(server, admin, path, {"x": [-1, 2]})
    if answer.status_code == 200:
        assert accepted(answer, "result")["success"] is False
    else:
        refused(answer, 503)


@BOTH
def test_a_service_whose_rows_depend_on_each_other_is_right_as_long_as_it_is_not_batchable(
    admin: httpx.Client, server: Server, runtime: str
) -> None:
    python = "y = x - x.mean(); seen = np.full(len(x), float(len(x)))"
    r = "y <- x - mean(x); seen <- rep(length(x), length(x))"
    path = publish_batchable(admin, runtime, "vector", python if runtime == "Python" else r, "dependent")
    accepted(admin.patch(path.replace("/api", "/services"), json={"batchable": False}), "text")
    answers = at_once(server, admin, path, [{"x": [caller, caller + 2]} for caller in range(CALLERS)])
    for answer in answers:
        assert accepted(answer, "result")["outputParameters"] == {"y": [-1, 1], "seen": [2, 2]}


@BOTH
def test_64_callers_of_an_ordinary_service_get_their_own_answers(
    admin: httpx.Client, server: Server, runtime: str
) -> None:
    ask: Callable[[int], Any] = lambda caller: {"x": caller + 0.5, "who": f"caller {caller}"}  # noqa: E731
    path = publish(
        admin,
        f"ordinary-{runtime}",
        "y = f'{who} {x}'; print(who)" if runtime == "Python" else "y <- paste(who, x); cat(who, '\\n')",
        runtime=runtime,
        inputs={"x": "numeric", "who": "character"},
        outputs={"y": "character"},
    )
    answers = at_once(server, admin, path, [ask(caller) for caller in range(CALLERS)])
    for caller, answer in enumerate(answers):
        result = accepted(answer, "result")
        assert result["outputParameters"] == {"y": f"caller {caller} {caller + 0.5}"}
        assert result["consoleOutput"].strip() == f"caller {caller}"
