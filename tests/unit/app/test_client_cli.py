"""The commands as they explain themselves; what they do is tried in tests/e2e/test_cli.py."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from gristmill.app.cli import app
from gristmill.app.client_cli_common import Exit, _code
from gristmill.app.client_cli_session import session_app
from gristmill.client import errors

COMMANDS = [
    *(each.name or each.callback.__name__ for each in app.registered_commands if each.callback),
    *(f"session {each.name}" for each in session_app.registered_commands),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_commands_help_has_an_example(command: str) -> None:
    told = CliRunner().invoke(app, [*command.split(), "--help"], env={"NO_COLOR": "1", "COLUMNS": "110"})
    assert told.exit_code == 0
    assert "Example" in told.stdout
    assert f"gristmill {command}" in told.stdout.split("Example", 1)[1]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CodeFailed("x"), Exit.CODE_FAILED),
        (errors.NotAuthenticated("x"), Exit.NOT_ALLOWED),
        (errors.Forbidden("x"), Exit.NOT_ALLOWED),
        (errors.NotFound("x"), Exit.NOT_FOUND),
        (errors.NotPortable("x"), Exit.REFUSED),
        (errors.Conflict("x"), Exit.REFUSED),
        (errors.Draining("x"), Exit.UNREACHABLE),
        (errors.Unreachable("x"), Exit.UNREACHABLE),
        (errors.GristmillError("x"), Exit.FAILED),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: errors.GristmillError, code: Exit) -> None:
    assert _code(error) is code
