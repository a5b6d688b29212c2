"""Arithmetic of a formula as R does it, with NaN for NA: operators on tensors [N, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable

from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.from_r.payload import Call, ColumnOf, Expression, Number
from gristmill.realtime.graphs.builder import Builder
from gristmill.realtime.graphs.special import expm1, log1p

__all__ = ["Inputs"]

_NAN = float("nan")
_MOST_CALLS, _DEEPEST = 20_000, 100

_PLAIN = {"exp": "Exp", "log": "Log", "sqrt": "Sqrt", "abs": "Abs", "floor": "Floor", "ceiling": "Ceil",
          "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "neg": "Neg"}  # fmt: skip
_PAIRS = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div", "^": "Pow"}
_COMPARED = {"<": "Less", "<=": "LessOrEqual", ">": "Greater", ">=": "GreaterOrEqual", "==": "Equal"}


class Inputs:
    """The service's columns as tensor `X` [N, width], and what is computed of them."""

    def __init__(self, builder: Builder, width: int, tensor: str = "X") -> None:
        self._builder = builder
        self._tensor = tensor
        self.width = width
        self._known: dict[Expression, str] = {}
        self._calls = 0

    def column(self, number: int) -> str:
        """Column [N, 1]."""
        if number >= self.width:
            raise refuse(f"it uses column {number}, and the description has {self.width}")
        return self._builder.columns(self._tensor, [number], self.width)

    def all(self, expressions: list[Expression]) -> str:
        """Expressions side by side [N, len]; the input itself, where they are its columns."""
        if not expressions:
            raise refuse("it has no features")
        if all(isinstance(each, ColumnOf) for each in expressions):
            numbers = [each.column for each in expressions if isinstance(each, ColumnOf)]
            if max(numbers) >= self.width:
                raise refuse(f"it uses column {max(numbers)}, and the description has {self.width}")
            return self._builder.columns(self._tensor, numbers, self.width)
        return self._builder.op("Concat", *[self.of(each) for each in expressions], axis=1)

    def of(self, expression: Expression, depth: int = 0) -> str:
        """The value of an expression [N, 1]."""
        if depth > _DEEPEST:
            raise refuse(f"an expression is nested more than {_DEEPEST} deep")
        if isinstance(expression, ColumnOf):
            return self.column(expression.column)
        if isinstance(expression, Number):
            if not math.isfinite(expression.number):
                raise refuse("an expression has a number that is not finite")
            return self._builder.constant_like(self.column(0), expression.number)
        self._calls += 1
        if self._calls > _MOST_CALLS:
            raise refuse(f"its formula has more than {_MOST_CALLS} calls")
        return self._call(expression, [self._operand(each, depth + 1) for each in expression.args])

    def _operand(self, expression: Expression, depth: int) -> str:
        """As `of`, but a number stays a constant, which operators stretch."""
        if isinstance(expression, Number) and math.isfinite(expression.number):
            return self._builder.constant(expression.number)
        return self.of(expression, depth)

    def _call(self, call: Call, args: list[str]) -> str:
        name = call.name
        found = _FUNCTIONS.get((name, len(args)))
        if found is None:
            raise refuse(f"its formula calls {name!r} with {len(args)} arguments, which is not known")
        if all(isinstance(each, Number) for each in call.args):
            args = [self.of(call.args[0]), *args[1:]]  # at least one has a value per row
        return found(self._builder, *args)


def _plain(kind: str) -> Callable[..., str]:
    return lambda builder, *args: builder.op(kind, *args)


def _scaled_log(base: float) -> Callable[..., str]:
    return lambda builder, x: builder.op("Div", builder.op("Log", x), math.log(base))


def _compare(kind: str) -> Callable[..., str]:
    return lambda builder, a, b: _truth(builder, builder.op(kind, a, b), a, b)


def _truth(builder: Builder, holds: str, a: str, b: str) -> str:
    """1 or 0; NaN if one of the two is."""
    missing = builder.op("Or", builder.op("IsNaN", a), builder.op("IsNaN", b))
    return builder.op("Where", missing, _NAN, builder.cast(holds))


def _unequal(builder: Builder, a: str, b: str) -> str:
    return builder.op("Sub", 1.0, _compare("Equal")(builder, a, b))


def _and(builder: Builder, a: str, b: str) -> str:
    never = builder.op("Or", builder.op("Equal", a, 0.0), builder.op("Equal", b, 0.0))
    return builder.op("Where", never, 0.0, builder.op("Mul", a, b))


def _or(builder: Builder, a: str, b: str) -> str:
    surely = builder.op("Or", builder.op("Equal", a, 1.0), builder.op("Equal", b, 1.0))
    return builder.op("Where", surely, 1.0, builder.op("Add", a, b))


def _not(builder: Builder, a: str) -> str:
    return builder.op("Sub", 1.0, a)


def _ifelse(builder: Builder, test: str, yes: str, no: str) -> str:
    chosen = builder.op("Where", builder.op("Equal", test, 1.0), yes, no)
    return builder.op("Where", builder.op("IsNaN", test), _NAN, chosen)


_FUNCTIONS: dict[tuple[str, int], Callable[..., str]] = {
    **{(name, 1): _plain(kind) for name, kind in _PLAIN.items()},
    **{(name, 2): _plain(kind) for name, kind in _PAIRS.items()},
    **{(name, 2): _compare(kind) for name, kind in _COMPARED.items()},
    ("log2", 1): _scaled_log(2.0),
    ("log10", 1): _scaled_log(10.0),
    ("log1p", 1): log1p,
    ("expm1", 1): expm1,
    ("!=", 2): _unequal,
    ("&", 2): _and,
    ("|", 2): _or,
    ("!", 1): _not,
    ("ifelse", 3): _ifelse,
}
