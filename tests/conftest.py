"""What all tests share."""

import shutil

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `needs_r` are skipped where there is no R."""
    if shutil.which("Rscript") is None:
        for item in items:
            if item.get_closest_marker("needs_r"):
                item.add_marker(pytest.mark.skip(reason="there is no R on this machine"))
