"""Ways to log in."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

import gristmill
from gristmill.client import connect, errors
from gristmill.client.profile import Profile, Saved, normal_url
from tests.unit.client.fake import URL, FakeServer, described


def test_a_wrong_password_names_the_server_and_the_account(fake: FakeServer) -> None:
    with pytest.raises(errors.NotAuthenticated, match=rf"logging in to {URL} as ann: wrong user name"):
        connect(URL, username="ann", password="wrong", transport=fake.transport)


def test_name_and_password_may_stand_in_the_environment(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_URL", URL)
    monkeypatch.setenv("GRISTMILL_USERNAME", "ann")
    monkeypatch.setenv("GRISTMILL_PASSWORD", "right")
    client = connect(transport=fake.transport)
    assert (client.url, client.username) == (URL, "ann")


def test_what_is_given_goes_before_the_environment(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_TOKEN", "other")
    assert connect(URL, username="ann", password="right", transport=fake.transport).username == "ann"


def test_without_any_login_it_says_what_to_do() -> None:
    with pytest.raises(errors.NotAuthenticated, match=f"run `gristmill login {URL}`"):
        connect(URL)


def test_a_token_and_a_password_are_one_too_many() -> None:
    with pytest.raises(errors.InvalidInput, match="not both"):
        connect(URL, token="t", password="p")


def test_a_missing_password_is_not_asked_for_where_nobody_could_type_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("typed"))
    with pytest.raises(errors.NotAuthenticated, match="no password for ann"):
        connect(URL, username="ann")


def test_a_saved_login_holds_tokens_and_no_password_and_is_its_owners_alone(
    fake: FakeServer, home: Path
) -> None:
    connect(URL, username="ann", password="right", save=True, transport=fake.transport)
    path = home / "profile"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "right" not in path.read_text()
    assert json.loads(path.read_text())["current"] == URL
    assert connect(transport=fake.transport).services() == []


def test_a_login_is_not_saved_unless_asked(fake: FakeServer, home: Path) -> None:
    connect(URL, username="ann", password="right", transport=fake.transport)
    assert not (home / "profile").exists()


def test_logging_out_revokes_the_token_and_forgets_it(fake: FakeServer) -> None:
    client = connect(URL, username="ann", password="right", save=True, transport=fake.transport)
    client.logout()
    assert fake.refresh_tokens == set()
    assert Profile().logins() == {}


def test_a_profile_keeps_several_servers_and_the_last_is_current() -> None:
    profile = Profile()
    profile.save("one:1", Saved("ann", "a", "r", 1.0))
    profile.save("http://two:2/", Saved("bob", "b", "s", 2.0))
    assert profile.current == "http://two:2"
    profile.remove("two:2")
    assert profile.current == "http://one:1"
    profile.remove("nowhere")
    assert set(profile.logins()) == {"http://one:1"}


def test_a_broken_profile_is_named_with_the_way_out(home: Path) -> None:
    (home / "profile").write_text("{")
    with pytest.raises(errors.GristmillError, match=r"profile cannot be read.*GRISTMILL_PROFILE"):
        connect(URL)


def test_the_profiles_lock_is_held_by_one() -> None:
    with Profile().try_lock() as mine, Profile().try_lock() as too:
        assert (mine, too) == (True, False)


def test_addresses_are_told_apart_by_what_matters() -> None:
    assert normal_url(" server:1/ ") == "http://server:1"
    assert normal_url("https://server") == "https://server"


def test_the_packages_own_functions_speak_to_the_last_server(fake: FakeServer) -> None:
    fake.services = [described()]
    connect(URL, username="ann", password="right", transport=fake.transport)
    assert gristmill.service("area").consume(2.0).output("area") == 4.0
    assert [each.name for each in gristmill.list_services()] == ["area"]
    gristmill.delete("area", "1.0")
    assert fake.services == []
