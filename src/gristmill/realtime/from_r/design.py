"""The model matrix [N, P] of a formula, as `stats::model.matrix` makes it; a row with NaN for NA."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from gristmill.realtime.from_r import checks
from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.from_r.expressions import Inputs
from gristmill.realtime.from_r.payload import Block, Design, Levels, Numbers, Poly, Values
from gristmill.realtime.graphs.builder import Builder

__all__ = ["matrix_of"]

_MOST_COLUMNS, _MOST_FACTORS, _MOST_CELLS = 100_000, 20, 10_000_000


def matrix_of(builder: Builder, design: Design, inputs: Inputs) -> str:
    """The model matrix; the input itself where it is that."""
    if not 1 <= len(design.products) <= _MOST_COLUMNS:
        raise refuse(
            f"its model matrix has {len(design.products)} columns, 1 to {_MOST_COLUMNS} are possible"
        )
    base, width = _base(builder, design.blocks, inputs)
    ones = any(not product for product in design.products)
    order = max(map(len, design.products))
    if order > _MOST_FACTORS:
        raise refuse(f"a column of its model matrix is a product of {order}")
    # The column of ones comes last; products are filled up with it.
    padded = [[*product, *[width] * (max(order, 1) - len(product))] for product in design.products]
    factors = checks.indices([i for row in padded for i in row], "its products", below=width + 1)
    if ones or any(len(product) < order for product in design.products):
        unit = builder.constant_like(inputs.column(0), 1.0)
        base = builder.op("Concat", base, unit, axis=1) if base else unit
        width += 1
    elif len(factors) and factors.max() >= width:
        raise refuse("a product names a base column that is not there")
    chosen = factors.reshape(len(padded), -1)
    product = builder.columns(base, chosen[:, 0].tolist(), width)
    for k in range(1, chosen.shape[1]):
        product = builder.op("Mul", product, builder.columns(base, chosen[:, k].tolist(), width))
    return product


def _base(builder: Builder, blocks: list[Block], inputs: Inputs) -> tuple[str, int]:
    """All blocks side by side, and how many columns that is; neighbouring plain columns at once."""
    parts: list[str] = []
    width = 0
    waiting: list[Numbers] = []

    def flush() -> None:
        if waiting:
            parts.append(inputs.all([each for block in waiting for each in block.expressions]))
            waiting.clear()

    for block in blocks:
        if isinstance(block, Numbers):
            waiting.append(block)
            width += len(block.expressions)
            continue
        flush()
        part, columns = _block(builder, block, inputs)
        parts.append(part)
        width += columns
        if width > _MOST_COLUMNS:
            raise refuse(f"its terms have more than {_MOST_COLUMNS} columns")
    flush()
    if len(parts) > 1:
        return builder.op("Concat", *parts, axis=1), width
    return (parts[0] if parts else ""), width


def _block(builder: Builder, block: Poly | Levels | Values, inputs: Inputs) -> tuple[str, int]:
    if isinstance(block, Poly):
        return _poly(builder, block, inputs), len(block.alpha)
    table = checks.matrix(block.table, "a table of contrasts", (None, None))
    if not table.size or table.size > _MOST_CELLS:
        raise refuse("a table of contrasts is empty, or too large")
    if isinstance(block, Levels):
        codes = inputs.column(block.column)
    else:
        codes = _codes_of_values(builder, block, inputs, len(table))
    # The last row is for what is missing or not known.
    table = np.vstack([table, np.full(table.shape[1], np.nan)])
    known = builder.op(
        "And", builder.op("GreaterOrEqual", codes, 0.0), builder.op("Less", codes, len(table) - 1.0)
    )
    rows = builder.cast(builder.op("Where", known, codes, len(table) - 1.0), TensorProto.INT64)
    flat = builder.op("Reshape", rows, np.array([-1], np.int64))
    return builder.op("Gather", table, flat, axis=0), table.shape[1]


def _codes_of_values(builder: Builder, block: Values, inputs: Inputs, rows: int) -> str:
    """Which of the values it is, -1 if none. Equal is what has the same 15 digits, as R makes text of it."""
    values = checks.vector(block.values, "values of a factor", rows)
    if len(values) > 1000:
        raise refuse(f"a factor that is made of numbers has {len(values)} values, 1000 at most")
    digit = np.array([10.0 ** (math.floor(math.log10(abs(v))) - 14) if v else 0.0 for v in values])
    apart = builder.op("Abs", builder.op("Sub", inputs.of(block.expression), values[None, :]))
    equal = builder.cast(builder.op("LessOrEqual", apart, digit[None, :] / 2))
    numbers = np.arange(1.0, len(values) + 1)[:, None]
    return builder.op("Sub", builder.op("MatMul", equal, numbers), 1.0)


def _poly(builder: Builder, block: Poly, inputs: Inputs) -> str:
    """The recurrence of `stats:::predict.poly`."""
    degree = len(block.alpha)
    if not 1 <= degree <= 100:
        raise refuse(f"poly() has the degree {degree}, 1 to 100 are possible")
    alpha = checks.vector(block.alpha, "coefficients of poly()")
    norms = checks.vector(block.norms, "norms of poly()", degree + 2)
    if (norms <= 0).any():
        raise refuse("a norm of poly() is not positive")
    x = inputs.of(block.expression)
    before, last = "", builder.op("Sub", x, alpha[0])
    columns = [last]
    for i in range(1, degree):
        here = builder.op("Mul", builder.op("Sub", x, alpha[i]), last)
        scale = norms[i + 1] / norms[i]
        back = builder.op("Mul", before, scale) if before else builder.constant(scale)
        before, last = last, builder.op("Sub", here, back)
        columns.append(last)
    joined = builder.op("Concat", *columns, axis=1) if degree > 1 else last
    return builder.op("Div", joined, np.sqrt(norms[2:])[None, :])
