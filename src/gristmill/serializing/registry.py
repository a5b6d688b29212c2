"""Who turns which class into operators: functions register themselves by the name of the class."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gristmill.errors import InvalidInput
from gristmill.serializing.graph import Graph
from gristmill.serializing.table import Inputs, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Context", "Prediction", "converts", "find", "refuse"]

F = TypeVar("F", bound=Callable[..., Any])
_CONVERTERS: dict[str, Callable[..., Any]] = {}
#: Modules with the functions for the classes of a library.
_MODULES = {
    "sklearn": (
        "linear",
        "sklearn_trees",
        "boosting",
        "neural",
        "ensembles",
        "kernels",
        "pipelines",
        "scaling",
        "imputing",
        "encoders",
    ),
    "xgboost": ("xgboost_models",),
    "lightgbm": ("lightgbm_models",),
    "statsmodels": ("statsmodels_models",),
}
_HINT = "publish it as a standard service, with client.publish: that runs any code"


@dataclass(frozen=True)
class Prediction:
    """What a model answers: `scores` [N, k] of doubles."""

    task: Literal["regression", "classification"]
    scores: str
    width: int
    classes: NDArray[Any] | None = None
    label: str | None = None  #: [N, 1] int64, the place in `classes`
    probabilities: bool = True  #: whether a classifier's scores are that, or distances


@dataclass
class Context:
    """Where a conversion stands: the graph, the frame, and the steps that it is in."""

    graph: Graph
    inputs: Inputs
    path: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say which step errors are about."""
        self.path.append(name)
        try:
            yield
        finally:
            self.path.pop()

    def convert(self, model: Any, table: Table) -> Any:
        """Apply a transformer (to a table) or a predictor (to a Prediction)."""
        converter = find(model)
        if converter is None:
            from gristmill.serializing.fallback import converted

            return converted(self, model, table)
        return converter(self, model, table)

    def numbers(self, model: Any, table: Table) -> str:
        """The table as numbers, which may be NaN."""
        return self.inputs.numbers(table, self.where(model))

    def finite(self, model: Any, table: Table) -> str:
        """The table as numbers, for a step that takes no NaN."""
        self.inputs.refuse_missing(table)
        return self.numbers(model, table)

    def where(self, model: Any) -> str:
        """The class, and the step if it is one."""
        name = type(model).__name__
        return f"{name} (step {'.'.join(self.path)!r})" if self.path else name

    def refuse(self, model: Any, why: str) -> InvalidInput:
        """The error for a model that cannot be converted."""
        return refuse(self.where(model), why)


def refuse(what: str, why: str) -> InvalidInput:
    """The error for what cannot be scored natively, with the way out."""
    return InvalidInput(f"{what} cannot become a realtime service: {why}; {_HINT}")


def converts(library: str, *classes: str) -> Callable[[F], F]:
    """Register a function for classes of a library: it takes the context, the object and the table."""

    def register(function: F) -> F:
        for name in classes:
            _CONVERTERS[f"{library}.{name}"] = function
        return function

    return register


def find(model: Any) -> Callable[..., Any] | None:
    """The function for an object's class, or for the nearest class above it."""
    for cls in type(model).__mro__:
        library = cls.__module__.partition(".")[0]
        for module in _MODULES.get(library, ()):
            importlib.import_module(f"gristmill.serializing.{module}")
        if f"{library}.{cls.__name__}" in _CONVERTERS:
            return _CONVERTERS[f"{library}.{cls.__name__}"]
    return None
