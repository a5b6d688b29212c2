"""Lists of services, as one likes to read them."""

from __future__ import annotations

from gristmill.client import display
from gristmill.client.description import Description

__all__ = ["HEADERS", "Services", "row_of"]

HEADERS = ("name", "version", "runtime", "inputs", "outputs", "published by", "description")


def row_of(each: Description) -> tuple[str, ...]:
    """One service in a line, under `HEADERS`."""
    inputs = ", ".join(parameter.name for parameter in each.inputs)
    outputs = ", ".join(parameter.name for parameter in each.outputs)
    first = each.description.strip().split("\n")[0]
    return (each.name, each.version, each.runtime, inputs, outputs, each.published_by, first)


class Services(list[Description]):
    """A list of descriptions that shows itself as a table."""

    def __repr__(self) -> str:
        if not self:
            return "no services"
        rows = [HEADERS, *map(row_of, self)]
        widths = [min(40, max(len(row[i]) for row in rows)) for i in range(len(HEADERS))]
        return "\n".join(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths)).rstrip() for row in rows
        )

    def _repr_html_(self) -> str:
        return display.table(f"{len(self)} services", HEADERS, map(row_of, self))
