from __future__ import annotations

import pytest

from tests.unit.web.fakes import Server, service


@pytest.fixture
def server() -> Server:
    """Stand-ins with `bos-rf 1.0.0` published."""
    built = Server()
    built.registry.known["bos-rf", "1.0.0"] = service()
    return built
