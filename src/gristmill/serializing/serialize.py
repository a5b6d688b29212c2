"""From a fitted model and sample rows to the file of a realtime service."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from typing import TYPE_CHECKING, Any, NamedTuple

from gristmill.errors import InvalidInput
from gristmill.realtime import container

if TYPE_CHECKING:
    from gristmill.serializing.predicting import Expected
    from gristmill.serializing.registry import Context, Prediction
    from gristmill.serializing.table import Ask, Inputs

__all__ = ["serialized"]

_DOUBLE, _INT64 = 11, 7


class _Output(NamedTuple):
    """A column of the answer: a column of a tensor [N, width], and the model's own values of it."""

    name: str
    type: str
    tensor: str
    place: int
    label: bool


def serialized(model: Any, sample: Any, tolerance: float | None = None) -> bytes:
    """See `gristmill.serialize_model`."""
    for package in ("numpy", "onnx"):
        _require(package)
    from gristmill.serializing import columns, predicting
    from gristmill.serializing.graph import Graph
    from gristmill.serializing.registry import Context
    from gristmill.serializing.table import Inputs

    library = predicting.library_of(model)
    frame = columns.arranged(sample, predicting.column_names(model, library, sample))
    graph = Graph()
    context = Context(
        graph, Inputs(graph, columns.kinds_of(frame), columns.factors_of(frame), columns.nones_of(frame))
    )
    prediction = context.convert(model, context.inputs.table())
    if not hasattr(prediction, "scores"):
        raise InvalidInput(
            f"{type(model).__name__} transforms its input, and predicts nothing: give the whole model"
        )
    outputs = _outputs(context, prediction)
    rows = columns.chosen_rows(frame)
    expected = predicting.predicted(model, library, rows, prediction)
    description, feeds = _described(context.inputs, prediction, outputs, rows, expected)
    description["origin"] = _origin(model, predicting.LIBRARIES[library])
    if tolerance is not None:
        description["tolerance"] = tolerance
    kinds = {output.tensor: _tensor_type(output) for output in outputs}
    widths = {output.tensor: 1 if output.label else prediction.width for output in outputs}
    proto = graph.model(feeds, {name: (kinds[name], widths[name]) for name in kinds}, type(model).__name__)
    return container.write(description, proto.SerializeToString())


def _require(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError:
        raise InvalidInput(
            f"serializing a model needs {package}, which is not installed: pip install gristmill[realtime]"
        ) from None


def _outputs(context: Context, prediction: Prediction) -> list[_Output]:
    """The answer's columns, label first."""
    import numpy as np

    graph, scores = context.graph, prediction.scores
    for invalid in context.inputs.invalid:
        scores = graph.add("Add", scores, invalid)
    score = graph.add("Identity", scores)
    if prediction.classes is None:
        names = (
            ["Score"]
            if prediction.width == 1
            else [f"Score.{place + 1}" for place in range(prediction.width)]
        )
    else:
        word = "Probability" if prediction.probabilities else "Score"
        names = [f"{word}.{_text(each)}" for each in prediction.classes]
        names = names if len(names) == prediction.width else [word]
    found = [_Output(name, "numeric", score, index, False) for index, name in enumerate(names)]
    if prediction.classes is None or prediction.label is None:
        return found
    kind = np.asarray(prediction.classes).dtype.kind
    type_ = {"i": "integer", "u": "integer", "b": "logical", "f": "numeric"}.get(kind, "character")
    label = prediction.label
    if type_ != "character":
        dtype = np.float64 if type_ == "numeric" else np.int64
        values = graph.constant(np.asarray(prediction.classes).astype(dtype), dtype)
        label = graph.add("Gather", values, label, axis=0)
        label = graph.cast(label, 9) if type_ == "logical" else label
    return [_Output("PredictedLabel", type_, label, 0, True), *found]


def _tensor_type(output: _Output) -> int:
    """ONNX's number for the type of an output's tensor."""
    if not output.label:
        return _DOUBLE
    return {"numeric": _DOUBLE, "logical": 9}.get(output.type, _INT64)


def _described(
    inputs: Inputs, prediction: Prediction, outputs: list[_Output], rows: Any, expected: Expected
) -> tuple[dict[str, Any], list[Any]]:
    """The description, but for the model's origin; and the feeds."""
    from gristmill.serializing.columns import cells

    feeds, factors = inputs.feeds()
    used = [name for name in inputs.kinds if any(name in feed.columns for feed in feeds)]
    if not used:
        raise InvalidInput("the model uses no column of the sample: there is nothing to score")
    described: dict[str, Any] = {
        "format": 1,
        "payload": "onnx",
        "task": prediction.task,
        "columns": [_column(inputs, name, factors.get(name)) for name in used],
        "feeds": [{"name": feed.name, "dtype": feed.dtype, "columns": list(feed.columns)} for feed in feeds],
        "outputs": [
            {"name": each.name, "type": each.type, "tensor": each.tensor, "index": each.place}
            for each in outputs
        ],
        "sample": {
            "columns": {name: cells(rows[name]) for name in used},
            "expected": {
                each.name: cells(_labels(expected) if each.label else expected.scores[:, each.place])
                for each in outputs
            },
        },
    }
    if prediction.classes is not None:
        described["classes"] = [_text(each) for each in prediction.classes]
    return described, feeds


def _labels(expected: Expected) -> Any:
    return [] if expected.labels is None else expected.labels


def _column(inputs: Inputs, name: str, factor: Ask | None) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "type": "factor" if factor else inputs.kinds[name]}
    if factor is not None:
        described["levels"] = list(factor.categories)
        described["unseen"] = factor.unseen
    return {**described, "missing": "refuse" if name in inputs.refused else "pass"}


def _text(value: Any) -> str:
    item = value.item() if hasattr(value, "item") else value
    return str(int(item)) if isinstance(item, float) and item.is_integer() else str(item)


def _origin(model: Any, distributions: tuple[str, ...]) -> dict[str, Any]:
    """Where the model comes from, for people."""
    packages = {}
    for name in (*distributions, "numpy", "onnx"):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    steps = [type(step).__name__ for _, step in getattr(model, "steps", ())]
    name = type(model).__name__ + (f"({', '.join(steps)})" if steps else "")
    return {"language": f"Python {platform.python_version()}", "model": name[:200], "packages": packages}
