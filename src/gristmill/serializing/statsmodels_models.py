"""Linear and generalized linear models of statsmodels, fitted to arrays or by a formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gristmill.errors import InvalidInput
from gristmill.serializing import distributions, links
from gristmill.serializing.graph import Graph
from gristmill.serializing.registry import Context, Prediction, converts
from gristmill.serializing.table import Table

__all__ = ["columns_of", "predict_rows", "results"]

_LINEAR = {"OLS", "WLS", "GLS", "GLSAR", "RollingOLS", "QuantReg", "RLM", "MixedLM"}
_LOGARITHMIC = {"Poisson", "NegativeBinomial", "NegativeBinomialP", "GeneralizedPoisson"}


@converts(
    "statsmodels",
    *("Results", "ResultsWrapper"),
)
def results(context: Context, model: Any, table: Table) -> Prediction:
    """Design times coefficients, and the inverse of the link."""
    kind = type(model.model).__name__
    design, width = _design(context, model, table)
    coefficients = np.asarray(model.params, np.float64)
    if coefficients.ndim != 1 or kind == "MNLogit":
        raise context.refuse(model.model, "it has several equations")
    if len(coefficients) > width and kind in _LOGARITHMIC:  # the last is the dispersion
        coefficients = coefficients[:width]
    if len(coefficients) != width:
        raise context.refuse(model.model, "its coefficients are not those of its design")
    graph = context.graph
    raw = graph.add("MatMul", design, graph.constant(coefficients.reshape(-1, 1)))
    scores = _inverse(context, model.model, raw, kind)
    return Prediction("regression", scores, 1)


def _inverse(context: Context, model: Any, raw: str, kind: str) -> str:
    if kind in _LINEAR - {"MixedLM"}:
        return raw
    if kind in {"Logit", "Probit"}:
        return _LINKS[kind.lower()](context.graph, raw)
    if kind in _LOGARITHMIC:
        return links.exp(context.graph, raw)
    if kind in {"GLM", "GEE"}:
        made = _unlinked(context.graph, model.family.link, raw)
        if made is None:
            raise context.refuse(
                model, f"the inverse of its link {type(model.family.link).__name__} is not known"
            )
        return made
    raise context.refuse(
        model, "OLS, WLS, GLS, QuantReg, RLM, GLM, Logit, Probit, Poisson, NegativeBinomial can"
    )


#: Inverses of links without parameters.
_LINKS: dict[str, Callable[[Graph, str], str]] = {
    "cauchy": distributions.cauchy,
    "identity": lambda graph, raw: raw,
    "log": links.exp,
    "logit": links.expit,
    "probit": distributions.normal,
}


def _unlinked(graph: Graph, link: Any, raw: str) -> str | None:
    """The inverse of a link of statsmodels, or None."""
    name = type(link).__name__.lower()
    if name in _LINKS:
        return _LINKS[name](graph, raw)
    if name in {"power", "inversepower", "inversesquared", "sqrt"}:
        return graph.add("Pow", raw, graph.constant(1.0 / float(link.power)))
    one = graph.constant(1.0)
    if name == "cloglog":
        return graph.add("Sub", one, graph.add("Exp", graph.add("Neg", graph.add("Exp", raw))))
    if name == "loglog":
        return graph.add("Exp", graph.add("Neg", graph.add("Exp", graph.add("Neg", raw))))
    if name == "logc":
        return graph.add("Sub", one, graph.add("Exp", raw))
    if name == "nbinom":
        alpha = graph.constant(-1.0 / float(link.alpha))
        return graph.add("Div", alpha, graph.add("Sub", one, graph.add("Exp", graph.add("Neg", raw))))
    return None


def _design(context: Context, model: Any, table: Table) -> tuple[str, int]:
    """The design matrix [N, k], and k."""
    info = _design_info(model)
    if info is not None:
        from gristmill.serializing.formulas import design_matrix

        return design_matrix(context, model.model, info, table)
    names = _names(model)
    graph = context.graph
    value = context.numbers(model.model, table)
    if len(table) < len(names):  # the constant that add_constant made
        place = names.index("const")
        one = graph.cast(graph.add("Equal", graph.take(value, [0]), graph.take(value, [0])))
        parts = [graph.take(value, list(range(place)))] if place else []
        parts += [one] + ([graph.take(value, list(range(place, len(table))))] if place < len(table) else [])
        value = graph.add("Concat", *parts, axis=1)
    return value, len(names)


def _design_info(model: Any) -> Any:
    """What a formula became: patsy's or formulaic's; None for arrays."""
    data = model.model.data
    found = getattr(data, "model_spec", None)
    return getattr(data, "design_info", None) if found is None else found


def _names(model: Any) -> list[str]:
    """Names of the design's columns; some models have names of further parameters behind them."""
    return [str(name) for name in model.model.exog_names][: model.model.exog.shape[1]]


def columns_of(model: Any, sample: Any) -> list[str] | None:
    """Names of the design's columns; the constant may be left out. None for a formula, which has names."""
    if not hasattr(model, "model") or _design_info(model) is not None:
        return None
    if not hasattr(model.model, "exog_names"):
        raise InvalidInput(f"{type(model).__name__} is not a result of a regression")
    names = _names(model)
    given = getattr(sample, "columns", None)
    width = np.shape(sample)[1] if given is None and np.ndim(sample) == 2 else None
    if given is None:
        return names if width == len(names) else [name for name in names if name != "const"]
    if "const" in names and "const" not in [str(name) for name in given]:
        names.remove("const")
    made_up = all(name == f"x{place + 1}" for place, name in enumerate(names) if name != "const")
    by_place = made_up and len(given) == len(names) and not set(names) <= {str(name) for name in given}
    return None if by_place else names


def predict_rows(model: Any, rows: Any) -> Any:
    """What the results predict; the constant is put where it belongs if it was left out."""
    if _design_info(model) is not None:
        return np.asarray(model.predict(rows))
    names = _names(model)
    matrix = rows.to_numpy(np.float64)
    if matrix.shape[1] < len(names):
        matrix = np.insert(matrix, names.index("const"), 1.0, axis=1)
    return np.asarray(model.predict(matrix))
