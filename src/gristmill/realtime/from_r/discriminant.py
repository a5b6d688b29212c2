"""lda: `MASS:::predict.lda` with method "plug-in"."""

from __future__ import annotations

from gristmill.realtime.from_r import checks
from gristmill.realtime.from_r.answers import Converted, Target, class_answer, finish
from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.from_r.design import matrix_of
from gristmill.realtime.from_r.expressions import Inputs
from gristmill.realtime.from_r.links import softmax
from gristmill.realtime.from_r.payload import Discriminant
from gristmill.realtime.graphs.builder import Builder

__all__ = ["convert_discriminant"]


def convert_discriminant(model: Discriminant, target: Target) -> Converted:
    """The graph of a linear discriminant analysis."""
    if model.answer != "classes":
        raise refuse("a discriminant analysis predicts classes")
    builder = Builder()
    width = len(model.design.products)
    scaling = checks.matrix(model.scaling, "its scaling", (None, width))
    centers = checks.matrix(model.centers, "its centers", (None, len(scaling)))
    constants = checks.vector(model.constants, "its constants", len(centers))
    means = checks.vector(model.means, "its means", width)
    if not len(scaling) or len(centers) < 2:
        raise refuse("a discriminant analysis has two classes and one discriminant at least")
    x = matrix_of(builder, model.design, Inputs(builder, len(target.columns)))
    scaled = builder.op("MatMul", builder.op("Sub", x, means[None, :]), scaling.T.copy())
    near = builder.op("Sub", builder.op("MatMul", scaled, centers.T.copy()), constants[None, :])
    chances = softmax(builder, near)
    return finish(builder, class_answer(builder, chances, target, count=len(centers)), target)
