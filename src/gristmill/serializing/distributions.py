"""Distribution functions as links: the normal and the Cauchy one, made as for models of R."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gristmill.realtime.graphs.builder import Builder
from gristmill.realtime.graphs.special import cauchy_distribution, normal_distribution

if TYPE_CHECKING:
    from gristmill.realtime.graphs.builder import Operand
    from gristmill.serializing.graph import Graph

__all__ = ["cauchy", "normal"]


class _Within(Builder):
    """Writes into a graph that has begun."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph

    def constant(self, value: Any) -> str:
        """Name of a constant."""
        return self._graph.constant(value)

    def op(self, kind: str, *operands: Operand, out: str | None = None, **attributes: Any) -> str:
        """Add an operator; the name of its output is never chosen here."""
        inputs = [each if isinstance(each, str) else self.constant(each) for each in operands]
        return self._graph.add(kind, *inputs, **attributes)


def normal(graph: Graph, value: str) -> str:
    """The normal distribution function."""
    return normal_distribution(_Within(graph), value)


def cauchy(graph: Graph, value: str) -> str:
    """The Cauchy distribution function."""
    return cauchy_distribution(_Within(graph), value)
