from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import Programs


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """No builder is there but those that the test adds."""
    for name in (
        "SOURCE_DATE_EPOCH",
        "DOCKER_HOST",
        "DOCKER_CONFIG",
        "REGISTRY_AUTH_FILE",
        "XDG_RUNTIME_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("GRISTMILL_REGISTRY_USERNAME", "GRISTMILL_REGISTRY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Programs(tmp_path / "programs", monkeypatch)
