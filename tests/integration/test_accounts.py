"""`gristmill user` beside a running server, on one SQLite database."""

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gristmill.app.users import user_app
from gristmill.auth import Accounts, Passwords, TokenPair, ensure_admin, load_or_create_key
from gristmill.db import Database, default_url, open_database
from gristmill.errors import NotAuthenticated
from gristmill.identity import Principal, Role


class Machine:
    """A data directory, the command line on it, and what a server would hold."""

    def __init__(self, data: Path, runner: asyncio.Runner, passwords: Passwords) -> None:
        self.data = data
        self._runner = runner
        self.database: Database = runner.run(open_database(default_url(data)))
        key = load_or_create_key(data / "key.pem")
        self.accounts = Accounts(self.database.users, self.database.tokens, key=key, passwords=passwords)

    def login(self, name: str, password: str) -> TokenPair:
        return self._runner.run(self.accounts.login(name, password))

    def verify(self, pair: TokenPair) -> Principal:
        return self._runner.run(self.accounts.verify(pair.access_token))

    def refresh_at_once(self, pair: TokenPair, times: int) -> list[TokenPair | BaseException]:
        async def run() -> list[TokenPair | BaseException]:
            tries = [self.accounts.refresh(pair.refresh_token) for _ in range(times)]
            return await asyncio.gather(*tries, return_exceptions=True)

        return self._runner.run(run())

    def synchronize(self) -> None:
        self._runner.run(self.accounts.synchronize())

    def close(self) -> None:
        self._runner.run(self.database.close())

    def command(self, *arguments: str, typed: str = "") -> str:
        """Run `gristmill user …`; what it said, after a check that it succeeded."""
        result = CliRunner().invoke(user_app, [*arguments, "--data", str(self.data)], input=typed)
        assert result.exit_code == 0, result.output
        return result.output

    def refused(self, *arguments: str, typed: str = "") -> str:
        """Run `gristmill user …`, which must end with 1; what it said on standard error."""
        result = CliRunner().invoke(user_app, [*arguments, "--data", str(self.data)], input=typed)
        assert result.exit_code == 1, result.output
        return result.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    passwords = Passwords()
    with asyncio.Runner() as runner:
        machine = Machine(tmp_path / "data", runner, passwords)
        runner.run(ensure_admin(machine.database.users, passwords, "admin's password"))
        yield machine
        machine.close()
    passwords.close()


def test_an_added_user_can_log_in_at_once(machine: Machine) -> None:
    said = machine.command("add", "ann", "--role", "reader", typed="ann's password\nann's password\n")
    assert "Added ann, reader." in said
    assert "ann's password" not in said
    assert machine.verify(machine.login("ann", "ann's password")) == Principal(name="ann", role=Role.READER)


def test_a_password_can_come_from_standard_input(machine: Machine) -> None:
    machine.command("add", "ann", "--password-stdin", typed=" spaces are kept \r\nsecond line")
    machine.login("ann", " spaces are kept ")


def test_passwords_that_differ_are_asked_for_again(machine: Machine) -> None:
    typed = "ann's password\nann's pasword\nann's password\nann's password\n"
    machine.command("add", "ann", typed=typed)
    machine.login("ann", "ann's password")


def test_the_list_shows_names_and_roles_and_no_hashes(machine: Machine) -> None:
    machine.command("add", "ann", "--password-stdin", typed="ann's password")
    lines = [line.split()[:2] for line in machine.command("list").splitlines()]
    assert lines == [["name", "role"], ["admin", "owner"], ["ann", "contributor"]]


def test_a_running_server_takes_changes_over(machine: Machine) -> None:
    machine.command("add", "ann", "--password-stdin", typed="ann's password")
    for change in (
        ("role", "ann", "reader"),
        ("passwd", "ann", "--password-stdin"),
        ("remove", "ann"),
    ):
        pair = machine.login("ann", "ann's password")
        machine.verify(pair)
        machine.command(*change, typed="ann's password")
        machine.synchronize()
        assert machine.accounts.cached(pair.access_token) is None
        with pytest.raises(NotAuthenticated):
            machine.verify(pair)
    with pytest.raises(NotAuthenticated):
        machine.login("ann", "ann's password")


def test_of_concurrent_refreshes_one_wins_with_a_pair_that_works(machine: Machine) -> None:
    for _ in range(5):
        results = machine.refresh_at_once(machine.login("admin", "admin's password"), 6)
        winners = [result for result in results if isinstance(result, TokenPair)]
        assert len(winners) == 1
        assert sum(isinstance(result, NotAuthenticated) for result in results) == 5
        machine.verify(winners[0])


def test_admins_password_can_be_changed(machine: Machine) -> None:
    machine.command("passwd", "admin", "--password-stdin", typed="another password")
    machine.login("admin", "another password")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "admin", "--password-stdin"), "user 'admin' exists already"),
        (("add", "a b", "--password-stdin"), "'a b' cannot name a user"),
        (("passwd", "eve", "--password-stdin"), "there is no user 'eve'"),
        (("role", "eve", "reader"), "there is no user 'eve'"),
        (("remove", "eve"), "there is no user 'eve'"),
        (("remove", "admin"), "cannot be removed"),
        (("role", "admin", "reader"), "stays owner"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_trace(
    machine: Machine, arguments: tuple[str, ...], message: str
) -> None:
    said = machine.refused(*arguments, typed="some password")
    assert said.startswith("Error: ")
    assert message in said
    assert "Traceback" not in said


def test_a_short_password_is_refused(machine: Machine) -> None:
    assert "8 to 1024 characters" in machine.refused("add", "ann", "--password-stdin", typed="short")


def test_a_directory_without_a_server_is_named_and_not_filled(tmp_path: Path) -> None:
    result = CliRunner().invoke(user_app, ["list", "--data", str(tmp_path / "typo")])
    assert result.exit_code == 1
    assert "gristmill serve --data" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_database_elsewhere_can_be_named(machine: Machine, tmp_path: Path) -> None:
    url = default_url(machine.data)
    result = CliRunner().invoke(user_app, ["list", "--data", str(tmp_path), "--database", url])
    assert result.exit_code == 0
    assert "admin" in result.output


@pytest.mark.parametrize("command", ["add", "list", "passwd", "role", "remove"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(user_app, [command, "--help"], env={"TERM": "dumb", "COLUMNS": "120"})
    assert result.exit_code == 0
    assert "--data" in result.output


def test_the_signing_key_is_private(machine: Machine) -> None:
    assert stat.S_IMODE((machine.data / "key.pem").stat().st_mode) == 0o600
