"""What the R package writes of a model, as strictly typed records. Anything else is refused.

Nodes of trees are numbered from 0 within their tree, columns and levels from 0. Texts of tags are the R
package's; see `r/R/serialize*.R`, which writes them.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from gristmill.errors import InvalidInput

__all__ = [
    "Block",
    "Call",
    "ColumnOf",
    "Design",
    "Discriminant",
    "Expression",
    "Levels",
    "Linear",
    "Link",
    "Model",
    "Network",
    "Number",
    "Numbers",
    "Partition",
    "Poly",
    "Split",
    "Test",
    "TreeModel",
    "Values",
    "decode",
]

Index: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
#: -1 is none.
Pointer: TypeAlias = Annotated[int, msgspec.Meta(ge=-1, le=2**31)]
Vector: TypeAlias = list[float]
Matrix: TypeAlias = list[list[float]]
Answer: TypeAlias = Literal["score", "binary", "classes"]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ColumnOf(_Part, frozen=True, tag_field="kind", tag="column"):
    """A column of the input; a factor as the number of its level."""

    column: Index


class Number(_Part, frozen=True, tag_field="kind", tag="number"):
    """A constant."""

    number: float


class Call(_Part, frozen=True, tag_field="kind", tag="call"):
    """A function of R, see `expressions`."""

    name: Annotated[str, msgspec.Meta(max_length=20)]
    args: Annotated[list[Expression], msgspec.Meta(max_length=3)]


Expression: TypeAlias = ColumnOf | Number | Call


class Numbers(_Part, frozen=True, tag_field="kind", tag="numbers"):
    """One base column each."""

    expressions: list[Expression]


class Poly(_Part, frozen=True, tag_field="kind", tag="poly"):
    """`stats::poly`: one base column for each of `alpha`; `norms` are one more and one more."""

    expression: Expression
    alpha: Vector
    norms: Vector


class Levels(_Part, frozen=True, tag_field="kind", tag="levels"):
    """Rows of `table` by the number of a factor's level."""

    column: Index
    table: Matrix


class Values(_Part, frozen=True, tag_field="kind", tag="values"):
    """Rows of `table` by which of `values` the expression is; NaN if none."""

    expression: Expression
    values: Vector
    table: Matrix


Block: TypeAlias = Numbers | Poly | Levels | Values


class Design(_Part, frozen=True):
    """A model matrix: each of its columns is a product of base columns, and 1 if there are none."""

    blocks: list[Block]
    products: list[list[Index]]


class Link(_Part, frozen=True):
    """How a linear predictor becomes a score."""

    name: Annotated[str, msgspec.Meta(max_length=20)]
    power: float | None = None


class _Model(_Part, frozen=True, tag_field="kind"):
    format: Literal[1]
    answer: Answer


class Linear(_Model, frozen=True, tag="linear"):
    """[K] predictors, each with a coefficient per column of the design."""

    design: Design
    coefficients: Matrix
    link: Link
    offsets: list[Expression] = []


class Split(_Part, frozen=True):
    """A split by levels: these go left, those right (None: all others), the rest as if missing."""

    left: list[Index]
    right: list[Index] | None = None


class TreeModel(_Model, frozen=True, tag="trees"):
    """Trees whose M nodes follow one another, T sizes of them. Leaves have feature -1."""

    features: list[Expression]
    compare: Literal["leq", "lt"]
    sizes: list[Index]
    feature: list[Pointer]
    threshold: Vector
    left: list[Pointer]
    right: list[Pointer]
    outputs: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    #: Where NaN goes: the left child, the right, or a third; None: such rows have no score.
    missing: list[Pointer] | None = None
    #: By node: number of `splits`, -1 where it compares.
    split: list[Pointer] | None = None
    splits: list[Split] = []
    #: [outputs][M] or, where each tree has a target, [1][M].
    values: Matrix | None = None
    #: Instead of values: the class that a leaf votes for.
    labels: list[Index] | None = None
    #: [T] the output that a tree adds to.
    targets: list[Index] | None = None
    start: Vector = []
    divide: Annotated[int, msgspec.Meta(ge=1)] = 1
    calibration: Vector | None = None
    cutoff: Vector | None = None
    #: A row with NaN has no score.
    null_rows: bool = False
    link: Link = Link(name="identity")


class Test(_Part, frozen=True):
    """A split of rpart: `direction` below the threshold, -1 left, 1 right; or one per level, 0 neither."""

    feature: Index
    threshold: float = 0.0
    direction: Literal[-1, 1] | None = None
    directions: list[Literal[-1, 0, 1]] | None = None


class Partition(_Model, frozen=True, tag="partition"):
    """A tree of rpart. `tests` of an inner node: its split, then surrogates; `majority` decides last."""

    features: list[Expression]
    left: list[Pointer]
    right: list[Pointer]
    tests: list[list[Test]]
    majority: list[Literal[-1, 0, 1]]
    #: [K][nodes] for inner nodes, too: where nothing decides, a row stays there.
    values: Matrix
    labels: list[Index] | None = None


class Network(_Model, frozen=True, tag="network"):
    """nnet with H hidden units and K outputs. A row of weights has the bias first.

    `hidden` [H][1 + P], `output` [K][1 + H], `skip` [K][P] if there are direct connections.
    """

    design: Design
    hidden: Matrix
    output: Matrix
    activation: Literal["identity", "logistic", "softmax"]
    skip: Matrix | None = None


class Discriminant(_Model, frozen=True, tag="discriminant"):
    """lda: `scaling` [D][P] after `means` [P] are taken away; `centers` [K][D], `constants` [K]."""

    design: Design
    means: Vector
    scaling: Matrix
    centers: Matrix
    constants: Vector


Model: TypeAlias = Linear | TreeModel | Partition | Network | Discriminant

_decoder = msgspec.json.Decoder(Model)


def decode(payload: bytes) -> Model:
    """The model of a payload. Raises InvalidInput that says where it is not as it should be."""
    try:
        found: Model = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the model from R cannot be read: {error}") from None
    return found
