"""How things look in a notebook, and values in a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["pairs", "short", "table"]

_STYLE = 'style="text-align:left;vertical-align:top;white-space:pre-wrap"'


def short(value: Any, width: int = 72) -> str:
    """A value in one line, with what was cut told by its size."""
    shape = getattr(value, "shape", None)
    if hasattr(value, "columns") and isinstance(shape, tuple):
        names = ", ".join(map(str, list(value.columns)[:6])) + (", …" if shape[1] > 6 else "")
        return f"{shape[0]} rows of {names}"
    listed = value.tolist() if hasattr(value, "tolist") else value
    text = " ".join(str(listed).split())
    if len(text) <= width:
        return text
    size = " x ".join(map(str, shape)) if isinstance(shape, tuple) and shape else ""
    size = size or (str(len(listed)) if isinstance(listed, (list, dict)) else "")
    return text[: width - 1] + "…" + (f" ({size} values)" if size else "")


def table(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a caption; every text is escaped."""
    head = "".join(f"<th {_STYLE}>{escape(each)}</th>" for each in headers)
    body = "".join(
        "<tr>" + "".join(f"<td {_STYLE}>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if headers else ""
    caption = f'<caption style="text-align:left;font-weight:bold">{escape(title)}</caption>'
    return f"<table>{caption}{top}<tbody>{body}</tbody></table>"


def pairs(title: str, rows: Iterable[tuple[str, str]], *, bad: bool = False) -> str:
    """A table of names and what they are."""
    made = table(title, (), rows)
    return made.replace("<table>", '<table style="border-left:4px solid #c33">', 1) if bad else made
