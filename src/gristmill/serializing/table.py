"""What flows between the steps of a model: a table whose columns are numbers of a tensor, or still texts.

A column remembers which columns of the frame may have made it NaN, so that a step which takes no NaN can
have nulls in those refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Union

import numpy as np

from gristmill.errors import InvalidInput
from gristmill.serializing.graph import Feed, Graph

__all__ = ["Ask", "Cell", "Inputs", "Made", "Raw", "Table", "Text", "made"]


@dataclass(frozen=True)
class Raw:
    """A column of the frame that holds numbers."""

    name: str

    @property
    def origins(self) -> frozenset[str]:
        """Columns of the frame whose nulls arrive here as NaN."""
        return frozenset([self.name])


@dataclass(frozen=True)
class Text:
    """A column of the frame that holds texts; `fill` stands for a null if it is not None."""

    name: str
    fill: str | None = None

    @property
    def origins(self) -> frozenset[str]:
        """Columns of the frame whose nulls arrive here."""
        return frozenset() if self.fill is not None else frozenset([self.name])


@dataclass(frozen=True)
class Made:
    """A column of a tensor [N, width] that a step has made."""

    value: str
    index: int
    width: int
    origins: frozenset[str] = frozenset()


Cell = Union[Raw, Text, Made]
Table = list[Cell]


def made(value: str, width: int, origins: Iterable[frozenset[str]] | None = None) -> Table:
    """All columns of a tensor; `origins` of each, where NaN may arrive."""
    from_where = list(origins) if origins is not None else [frozenset[str]()] * width
    return [Made(value, index, width, from_where[index]) for index in range(width)]


@dataclass(frozen=True)
class Ask:
    """A step's question about a text column: which of these categories is it? [N, 1], as a number from 0."""

    name: str
    categories: tuple[str, ...]
    #: What a text that is no category is: refused by the server, or NaN as a null is, or -1.
    unseen: str
    value: str


@dataclass
class Inputs:
    """The columns of the frame, and what the steps want of them; the feeds are made of it in the end."""

    graph: Graph
    kinds: dict[str, str]  #: name → numeric, integer, logical or character, in order
    factors: frozenset[str] = frozenset()  #: columns that are pandas categoricals in the sample
    nones: frozenset[str] = frozenset()  #: columns whose nulls are None in the sample, not NaN
    refused: set[str] = field(default_factory=set)  #: columns in which a null cannot be scored
    #: Tensors [N, 1] of zeros, and of NaN in rows that the model cannot score.
    invalid: list[str] = field(default_factory=list)
    _gathers: dict[tuple[str, ...], str] = field(default_factory=dict)
    _asks: list[Ask] = field(default_factory=list)

    def table(self) -> Table:
        """All columns of the frame."""
        return [Text(name) if kind == "character" else Raw(name) for name, kind in self.kinds.items()]

    def refuse_missing(self, table: Iterable[Cell]) -> None:
        """Have the server refuse nulls that would arrive in these columns as NaN."""
        for cell in table:
            self.refused |= cell.origins

    def numbers(self, table: Sequence[Cell], what: str) -> str:
        """The table as one tensor [N, k]. Raises InvalidInput if a column is text; `what` says who asked."""
        texts = [cell.name for cell in table if isinstance(cell, Text)]
        if texts:
            raise InvalidInput(
                f"{what} takes numbers, and column {texts[0]!r} of the sample holds texts: encode it in the "
                "model, with a OneHotEncoder for instance"
            )
        parts = []
        for key, cells in groupby(table, key=lambda cell: cell.value if isinstance(cell, Made) else None):
            run = list(cells)
            if key is None:
                parts.append(self._raw(tuple(cell.name for cell in run if isinstance(cell, Raw))))
            else:
                parts.append(self._part(key, [cell for cell in run if isinstance(cell, Made)]))
        return parts[0] if len(parts) == 1 else self.graph.add("Concat", *parts, axis=1)

    def _raw(self, names: tuple[str, ...]) -> str:
        if names not in self._gathers:
            self._gathers[names] = self.graph.name("columns")
        return self._gathers[names]

    def _part(self, value: str, cells: list[Made]) -> str:
        indices = [cell.index for cell in cells]
        whole = indices == list(range(cells[0].width))
        return value if whole else self.graph.take(value, indices)

    def ask(self, name: str, categories: Iterable[str], unseen: str) -> str:
        """Which category a text column is, [N, 1] from 0; NaN is a null."""
        ask = Ask(name, tuple(categories), unseen, self.graph.name("codes"))
        for known in self._asks:
            if (known.name, known.categories, known.unseen) == (ask.name, ask.categories, ask.unseen):
                return known.value
        self._asks.append(ask)
        return ask.value

    def feeds(self) -> tuple[list[Feed], dict[str, Ask]]:
        """Input tensors for what was asked for, and the columns that are factors.

        A text column is a factor, which the server makes a number, if all questions about it are the same
        and none tells an unknown text from a null; else it is fed as text.
        """
        asks: dict[str, list[Ask]] = {}
        for ask in self._asks:
            asks.setdefault(ask.name, []).append(ask)
        factors = {name: each[0] for name, each in asks.items() if len(each) == 1 and _simple(each[0])}
        used = {name for names in self._gathers for name in names} | set(factors)
        columns = tuple(name for name in self.kinds if name in used)
        texts = tuple(name for name in self.kinds if name in asks and name not in factors)
        for names, value in self._gathers.items():
            self._gather(names, columns, value)
        for name, ask in factors.items():
            self._gather((name,), columns, ask.value)
        for name in texts:
            for ask in asks[name]:
                self._encode(ask, texts)
        feeds = [Feed("X", "double", columns)] if columns else []
        return feeds + ([Feed("S", "string", texts)] if texts else []), factors

    def _gather(self, names: tuple[str, ...], columns: tuple[str, ...], output: str) -> None:
        if names == columns:
            self.graph.first("Identity", ["X"], output)
        else:
            places = self.graph.constant([columns.index(name) for name in names], np.int64)
            self.graph.first("Gather", ["X", places], output, axis=1)

    def _encode(self, ask: Ask, texts: tuple[str, ...]) -> None:
        """Find the category of a text in the graph; the empty text is a null."""
        if ask.unseen == "refuse":
            raise InvalidInput(
                f"column {ask.name!r} is encoded twice in different ways, and unknown texts are an error "
                "to one: use one encoder, or handle_unknown='ignore'"
            )
        graph, (column, code) = self.graph, (self.graph.name("text"), self.graph.name("code"))
        place = graph.constant([texts.index(ask.name)], np.int64)
        graph.first("Gather", ["S", place], column, axis=1)
        extra = [] if "" in ask.categories else [""]
        numbers = [*range(len(ask.categories)), *([-2] if extra else [])]
        graph.first(
            "LabelEncoder",
            [column],
            code,
            domain="ai.onnx.ml",
            keys_strings=[*ask.categories, *extra],
            values_int64s=numbers,
            default_int64=-1,
        )
        number, null = graph.name("code"), graph.name("null")
        graph.first("Cast", [code], number, to=11)
        lost = -1.0 if ask.unseen == "missing" else -2.0
        graph.first("LessOrEqual", [number, graph.constant([[lost]])], null)
        graph.first("Where", [null, graph.constant([[np.nan]]), number], ask.value)


def _simple(ask: Ask) -> bool:
    return ask.unseen != "distinct" and bool(ask.categories)
