"""The compose file, as far as it can be looked at without a daemon."""

from pathlib import Path
from typing import Any

import yaml

from gristmill import __version__

ROOT = Path(__file__).parents[3]


def service() -> dict[str, Any]:
    (only,) = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"].values()
    return dict(only)


def test_it_runs_the_image_of_this_version() -> None:
    assert service()["image"] == f"${{GRISTMILL_IMAGE:-gristmill:{__version__}-r}}"


def test_it_gives_no_more_rights_than_the_page_on_the_image_does() -> None:
    page = (ROOT / "docs" / "howto" / "container-image.md").read_text()
    for flag in ("--read-only", "--tmpfs /tmp", "--cap-drop ALL", "--security-opt no-new-privileges"):
        assert flag in page
    told = service()
    assert (told["read_only"], told["tmpfs"], told["cap_drop"]) == (True, ["/tmp"], ["ALL"])
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert told["ports"] == ["127.0.0.1:12800:12800"]


def test_it_has_no_password_of_its_own() -> None:
    assert service()["environment"]["GRISTMILL_ADMIN_PASSWORD"].startswith("${GRISTMILL_ADMIN_PASSWORD:?")


def test_calls_in_flight_have_the_time_that_the_server_gives_them() -> None:
    assert int(service()["stop_grace_period"].removesuffix("s")) > 30
