"""Whether a model scores here as it did where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose, isnan
from typing import Any

from gristmill.errors import InvalidInput
from gristmill.realtime.description import Description

__all__ = ["compare"]

_SHOWN = 5
_Cell = float | int | bool | str | None


def compare(description: Description, found: dict[str, list[Any]]) -> None:
    """Raise InvalidInput, with a table of the worst rows, unless `found` is what the sample expects.

    Numbers may differ by the description's tolerance, relative to the larger one, or to a thousandth of the
    largest expected value of their column where that is more; probabilities by the tolerance itself.
    """
    worst: list[tuple[float, int, str, _Cell, _Cell]] = []
    for name, expected in description.sample.expected.items():
        floor = _floor(name, expected)
        for row, (mine, theirs) in enumerate(zip(found[name], expected, strict=True)):
            off = _distance(mine, theirs, floor)
            if off > description.tolerance:
                worst.append((off, row, name, mine, theirs))
    if not worst:
        return
    rows = len({row for _, row, *_ in worst})
    count = len(next(iter(description.sample.expected.values())))
    worst.sort(key=lambda each: (-each[0], each[1]))
    language = description.origin.language.split(" ")[0] or "its language"
    raise InvalidInput(
        f"the model scores otherwise here than in {language}: {rows} of {count} sample rows differ by more "
        f"than {description.tolerance:g} of the value. The worst are\n{_table(worst[:_SHOWN], language)}\n"
        "Publish it as a standard service, or raise the tolerance if such differences do not matter."
    )


def _floor(name: str, expected: Sequence[_Cell]) -> float:
    if name.startswith("Probability"):
        return 1.0
    numbers = [abs(cell) for cell in expected if isinstance(cell, (int, float))]
    return max(numbers, default=0.0) / 1000


def _distance(mine: _Cell, theirs: _Cell, floor: float) -> float:
    """How far apart two cells are: 0 for equal ones, infinity for what cannot be compared. NaN is null."""
    mine = None if isinstance(mine, float) and isnan(mine) else mine
    if mine is None or theirs is None or isinstance(mine, str) or isinstance(theirs, str):
        return 0.0 if mine == theirs else float("inf")
    if isclose(mine, theirs, rel_tol=0.0, abs_tol=0.0):
        return 0.0
    scale = max(abs(mine), abs(theirs), floor)
    return abs(mine - theirs) / scale if scale < float("inf") else float("inf")


def _table(worst: Sequence[tuple[float, int, str, _Cell, _Cell]], language: str) -> str:
    lines = [("row", "output", "here", f"in {language}", "difference")]
    lines += [(str(row + 1), name, _told(a), _told(b), f"{off:.3g}") for off, row, name, a, b in worst]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _told(cell: _Cell) -> str:
    return "null" if cell is None else f"{cell!r}"[:40]
