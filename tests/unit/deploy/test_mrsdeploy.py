"""The R package `mrsdeploy` of the images exports what `gristmill` does, all of it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def exports(namespace: Path) -> set[str]:
    return set(re.findall(r"^export\((\w+)\)$", namespace.read_text(), re.MULTILINE))


def test_it_exports_what_gristmill_does() -> None:
    ours = exports(ROOT / "r" / "NAMESPACE")
    assert exports(ROOT / "deploy" / "containers" / "mrsdeploy" / "NAMESPACE") == ours


def test_nothing_that_mrsdeploy_had_is_missing() -> None:
    functions = (ROOT / "tests" / "e2e" / "mrsdeploy_functions.txt").read_text().split()
    assert len(functions) > 30
    assert set(functions) <= exports(ROOT / "r" / "NAMESPACE")
