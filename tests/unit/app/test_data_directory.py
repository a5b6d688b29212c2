"""Where state cannot be kept, the server says so in a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gristmill.app.folders import make_data
from gristmill.errors import GristmillError


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GristmillError, match=r"state cannot be kept in .*file/data: Not a directory"):
        make_data(tmp_path / "file" / "data")


def test_a_directory_of_somebody_else_is_named_with_who_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(GristmillError, match=rf"Permission denied; user {os.geteuid()} must be able"):
        make_data(tmp_path)
