"""Designs of formulas, as patsy has recorded them: terms of numbers, of factors, and their products."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from gristmill.errors import InvalidInput
from gristmill.serializing.functions import apply_named
from gristmill.serializing.registry import Context
from gristmill.serializing.table import Cell, Raw, Table, Text

__all__ = ["design_matrix"]

_POWERS = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Pow: "Pow"}


def design_matrix(context: Context, model: Any, info: Any, table: Table) -> tuple[str, int]:
    """The matrix [N, k] for the columns of the frame, and k. Raises InvalidInput that names the bad term."""
    if not hasattr(info, "term_codings"):
        raise context.refuse(model, "its formula was read by formulaic: fit it with patsy, or to arrays")
    design = _Design(context, model, info, table)
    parts = [design.subterm(sub) for subterms in info.term_codings.values() for sub in subterms]
    return context.graph.add("Concat", *parts, axis=1), len(info.column_names)


class _Design:
    def __init__(self, context: Context, model: Any, info: Any, table: Table) -> None:
        self._context, self._model, self._info = context, model, info
        self._cells: dict[str, Cell] = {cell.name: cell for cell in table if isinstance(cell, (Raw, Text))}
        self._known: dict[str, str] = {}
        self._one = ""

    def subterm(self, sub: Any) -> str:
        """Columns of a product of factors; the first factor's columns vary fastest, as patsy has them."""
        graph, columns = self._context.graph, [""]
        for factor in sub.factors:
            width = 1
            if factor in sub.contrast_matrices:
                contrast = np.asarray(sub.contrast_matrices[factor].matrix, np.float64)
                value = graph.add("MatMul", self._marks(factor), graph.constant(contrast))
                width = contrast.shape[1]
            else:
                value = self._number(factor)
                width = self._info.factor_infos[factor].num_columns
            singles = [value] if width == 1 else [graph.take(value, [place]) for place in range(width)]
            columns = [
                graph.add("Mul", left, right) if left else right for right in singles for left in columns
            ]
        made = [column or self._ones() for column in columns]
        return made[0] if len(made) == 1 else graph.add("Concat", *made, axis=1)

    def _ones(self) -> str:
        if not self._one:
            graph = self._context.graph
            if not self._cells:
                raise self._context.refuse(self._model, "its formula uses no column")
            name = self._any_column()
            lost = graph.add("IsNaN", name)
            self._one = graph.add("Where", lost, graph.constant(1.0), graph.constant(1.0))
        return self._one

    def _any_column(self) -> str:
        """Some column that the formula uses, for the shape of the intercept's."""
        for factor, info in self._info.factor_infos.items():
            return self._number(factor) if info.type == "numerical" else self._code(factor)
        raise self._context.refuse(self._model, "its formula uses no column")

    def _number(self, factor: Any) -> str:
        if factor.code not in self._known:
            state = self._info.factor_infos[factor].state or {}
            if state.get("transforms"):
                raise self._refuse(factor, "it remembers what it has seen when it was fitted")
            self._known[factor.code] = self._walk(ast.parse(factor.code, mode="eval").body, factor)
        return self._known[factor.code]

    def _marks(self, factor: Any) -> str:
        """[N, levels] 1 where a row has the level; NaN in rows without."""
        graph, code = self._context.graph, self._code(factor)
        levels = np.arange(len(self._info.factor_infos[factor].categories), dtype=np.float64).reshape(1, -1)
        marks = graph.cast(graph.add("Equal", code, graph.constant(levels)))
        return graph.add("Where", graph.add("IsNaN", code), graph.constant(np.nan), marks)

    def _code(self, factor: Any) -> str:
        key = f"code of {factor.code}"
        if key not in self._known:
            self._known[key] = self._coded(factor)
        return self._known[key]

    def _coded(self, factor: Any) -> str:
        levels = list(self._info.factor_infos[factor].categories)
        cell = self._cells.get(self._factor_name(factor))
        if cell is None:
            raise self._refuse(factor, "it is no column of the sample")
        if isinstance(cell, Text):
            return self._context.inputs.ask(cell.name, [str(level) for level in levels], "refuse")
        from gristmill.serializing.encoders import category_numbers

        (code,) = category_numbers(self._context, self._model, cell, levels)
        return self._context.inputs.numbers([code], "the formula")

    def _factor_name(self, factor: Any) -> str:
        """The column of `a`, `C(a)`, `C(a, Sum)` or `Q("a")`."""
        node: ast.expr = ast.parse(factor.code, mode="eval").body
        while isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"C", "Q"}:
            node = node.args[0]
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.Name):
            return node.id
        raise self._refuse(factor, "it is no plain column")

    def _walk(self, node: ast.expr, factor: Any) -> str:
        """The operators of an expression of numbers."""
        graph = self._context.graph
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return graph.constant(float(node.value))
        if isinstance(node, ast.Name):
            return self._column(node.id, factor)
        if isinstance(node, ast.BinOp) and type(node.op) in _POWERS:
            left, right = self._walk(node.left, factor), self._walk(node.right, factor)
            if (
                isinstance(node.op, ast.Pow)
                and isinstance(node.right, ast.Constant)
                and node.right.value == 2
            ):
                return graph.add("Mul", left, left)  # as numpy does
            return graph.add(_POWERS[type(node.op)], left, right)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return graph.add("Neg", self._walk(node.operand, factor))
        if isinstance(node, ast.Call):
            return self._called(node, factor)
        raise self._refuse(factor, "it is not made of numbers, columns and known functions")

    def _called(self, node: ast.Call, factor: Any) -> str:
        function = node.func
        if isinstance(function, ast.Name) and len(node.args) == 1:
            argument = node.args[0]
            if function.id == "I":
                return self._walk(argument, factor)
            if function.id == "Q" and isinstance(argument, ast.Constant):
                return self._column(str(argument.value), factor)
        numpys = isinstance(function, ast.Attribute) and ast.unparse(function.value) in {"np", "numpy"}
        if isinstance(function, ast.Attribute) and numpys and len(node.args) == 1 and not node.keywords:
            made = apply_named(self._context.graph, function.attr, self._walk(node.args[0], factor))
            if made is not None:
                return made
        raise self._refuse(factor, "there is no native counterpart of its function")

    def _column(self, name: str, factor: Any) -> str:
        cell = self._cells.get(name)
        if cell is None:
            raise self._refuse(factor, f"{name!r} is no column of the sample")
        return self._context.inputs.numbers([cell], f"the term {factor.code!r}")

    def _refuse(self, factor: Any, why: str) -> InvalidInput:
        return self._context.refuse(self._model, f"the term {factor.code!r} of its formula: {why}")
