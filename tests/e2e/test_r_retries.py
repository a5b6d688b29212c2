"""What the R package sends again when connections end at chosen moments."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted_server import AREA, LOGIN, Act, Scripted, answer, close, half, vanish
from tests.unit.client.fake import described

pytestmark = [pytest.mark.needs_r, pytest.mark.timeout(120)]

LOG_IN = (
    "library(gristmill); "
    "remoteLogin(Sys.getenv('GRISTMILL_URL'), session = FALSE, username = 'ann', password = 'right'); "
)


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    scripted.stop()


def r(code: str, server: Scripted, library: Path) -> str:
    done = subprocess.run(
        ["Rscript", "-e", LOG_IN + code],
        env={**os.environ, "R_LIBS": str(library), "GRISTMILL_URL": server.url, "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("ending", [vanish, close, half])
def test_calls_of_services_are_sent_again_and_changes_are_not(
    server: Scripted, library: Path, ending: Act
) -> None:
    server.acts = [close, LOGIN, answer([described()]), ending, ending, AREA, ending]
    told = r(
        "api <- getService('area'); cat(api$consume(3)$output('area'), '\\n'); "
        "tryCatch(deleteService('area', '1.0'), gristmill_unreachable = function(e) cat('not again\\n'))",
        server,
        library,
    )
    assert "9 \n" in told, told
    assert "not again" in told, told
    posts = [each for each in server.asked if each != "GET /services/area"]
    assert posts == ["POST /login"] * 2 + ["POST /api/area/1.0"] * 3 + ["DELETE /services/area/1.0"]


@pytest.mark.parametrize("status", [200, 503])
def test_code_that_ended_its_process_is_not_run_again(server: Scripted, library: Path, status: int) -> None:
    """As servers say it now, and as they did before."""
    ended = {
        200: {"success": False, "errorMessage": "R ended", "outputParameters": {}, "changedFiles": []},
        503: {"message": "R ended", "link": "", "exceptionType": "ShellDied"},
    }[status]
    server.acts = [LOGIN, answer([described()]), answer(ended, status=status, headers="Retry-After: 1\r\n")]
    told = r(
        "api <- getService('area'); "
        "tryCatch(print(api$consume(3)), error = function(e) cat(conditionMessage(e)))",
        server,
        library,
    )
    assert "R ended" in told, told
    assert server.asked.count("POST /api/area/1.0") == 1


def test_with_the_option_at_0_nothing_is(server: Scripted, library: Path) -> None:
    server.acts = [LOGIN, answer([described()]), half]
    told = r("api <- getService('area'); options(gristmill.retries = 0); api$consume(3)", server, library)
    assert "cannot reach" in told
    assert server.asked.count("POST /api/area/1.0") == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(503, "Overloaded"), (503, "StateUnavailable"), (429, "TooManyCalls")],
)
def test_what_was_not_begun_is_sent_again_when_the_server_says_so(
    server: Scripted, library: Path, status: int, kind: str
) -> None:
    full = answer(
        {"message": "full", "link": "", "exceptionType": kind}, status=status, headers="Retry-After: 1\r\n"
    )
    server.acts = [LOGIN, answer([described()]), full, AREA]
    told = r("api <- getService('area'); cat(api$consume(3)$output('area'), '\\n')", server, library)
    assert "9 \n" in told, told
    assert server.asked.count("POST /api/area/1.0") == 2


def test_too_many_failed_logins_are_not_repeated(server: Scripted, library: Path) -> None:
    locked = {"message": "too many failed logins", "link": "", "exceptionType": "TooManyAttempts"}
    server.acts = [answer(locked, status=429, headers="Retry-After: 1\r\n")]
    assert "too many failed logins" in r("", server, library)
    assert server.asked == ["POST /login"]
