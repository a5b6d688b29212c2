"""Blocking work goes by `off_loop`, which keeps quick reads apart from slow writes."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "gristmill"
#: These run outside the server, or in a shell.
ELSEWHERE = {"client", "deploy", "python_shell", "r_shell", "serializing"}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] not in ELSEWHERE)


def default_pool(text: str) -> list[int]:
    """Lines that have something run by the loop's default executor."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        first = node.args[0] if node.args else None
        default = isinstance(first, ast.Constant) and first.value is None
        if node.func.attr == "to_thread" or (node.func.attr == "run_in_executor" and default):
            found.append(node.lineno)
    return sorted(found)


def test_the_search_finds_both_ways() -> None:
    assert default_pool("await asyncio.to_thread(f)\nloop.run_in_executor(None, f)") == [1, 2]
    assert default_pool("loop.run_in_executor(self._threads, f)\noff_loop(Work.READ, f)") == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_server_code_never_uses_the_default_executor(path: Path) -> None:
    lines = default_pool(path.read_text())
    assert not lines, f"lines {lines}: use off_loop"
