from __future__ import annotations

import inspect
import json

import pytest

from gristmill import errors, frames
from gristmill.web.problems import STATUS, http_problem, problem, unexpected

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, errors.GristmillError)
]


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_every_error_has_a_status_of_its_own(error: type[errors.GristmillError]) -> None:
    assert error in STATUS
    assert set(errors.__all__) == {found.__name__ for found in CLASSES}


def test_a_problem_is_the_error_body_of_the_protocol() -> None:
    answer = problem(errors.NotFound("there is no service x"))
    assert answer.status == 404
    assert json.loads(answer.body) == {
        "message": "there is no service x",
        "link": "/docs",
        "exceptionType": "NotFound",
    }
    assert (b"content-length", b"%d" % len(answer.body)) in answer.headers


@pytest.mark.parametrize(
    ("seconds", "sent"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.01, b"2"), (30.5, b"31")]
)
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, sent: bytes) -> None:
    headers = dict(problem(errors.Overloaded("full", retry_after=seconds)).headers)
    assert headers[b"retry-after"] == sent


def test_an_error_without_a_row_goes_by_its_ancestor() -> None:
    answer = problem(frames.BrokenFrame("cut off"))
    assert (answer.status, json.loads(answer.body)["exceptionType"]) == (500, "BrokenFrame")


def test_401_names_the_scheme_to_log_in_by() -> None:
    assert dict(problem(errors.NotAuthenticated("no")).headers)[b"www-authenticate"] == b"Bearer"


def test_a_message_that_quotes_half_a_surrogate_pair_can_still_be_sent() -> None:
    assert json.loads(problem(errors.InvalidInput("bad \ud800")).body)["message"] == "bad ?"


def test_what_the_web_layer_refuses_has_the_same_body() -> None:
    body = json.loads(http_problem(405, "no").body)
    assert body == {"message": "no", "link": "/docs", "exceptionType": "MethodNotAllowed"}


def test_a_defect_shows_its_reference_and_nothing_else() -> None:
    answer = unexpected("ref-7")
    assert answer.status == 500
    assert "ref-7" in json.loads(answer.body)["message"]
