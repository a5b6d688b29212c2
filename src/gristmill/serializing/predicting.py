"""The model's own side: which columns it takes, and what it predicts for the sample itself."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gristmill.errors import InvalidInput
from gristmill.serializing.registry import Prediction, refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LIBRARIES", "Expected", "column_names", "library_of", "predicted"]

#: Packages that models come from, and the distributions that have them.
LIBRARIES = {
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "lightgbm": ("lightgbm",),
    "statsmodels": ("statsmodels",),
}


class Expected(NamedTuple):
    """The model's own scores [N, k], and labels [N] if it classifies."""

    scores: NDArray[np.float64]
    labels: NDArray[Any] | None


def library_of(model: Any) -> str:
    """Which library a model is of. Raises InvalidInput for any other, and for a class instead of a model."""
    if isinstance(model, type):
        raise InvalidInput(f"{model.__name__} is a class: give a fitted model of it")
    for cls in type(model).__mro__:
        library = cls.__module__.partition(".")[0]
        if library in LIBRARIES:
            return library
    raise refuse(
        f"{type(model).__module__}.{type(model).__name__}",
        "models of scikit-learn, XGBoost, LightGBM and statsmodels can",
    )


def column_names(model: Any, library: str, sample: Any) -> list[str] | None:
    """Names of the columns that a model was fitted on, in order, or None where only their number is known."""
    if library == "statsmodels":
        from gristmill.serializing.statsmodels_models import columns_of

        return columns_of(model, sample)
    names = _fitted_names(model, library)
    if names is None:
        return None
    # LightGBM changes names, and makes some up for a matrix: the columns' order is what counts then.
    given = [str(name) for name in getattr(sample, "columns", names)]
    by_place = library == "lightgbm" and len(given) == len(names) and not set(names) <= set(given)
    return None if by_place else [str(name) for name in names]


def _fitted_names(model: Any, library: str) -> list[str] | None:
    if library == "lightgbm":
        return list(getattr(model, "booster_", model).feature_name())
    if library == "xgboost":
        booster = model.get_booster() if hasattr(model, "get_booster") else model
        found: list[str] | None = booster.feature_names
        return found
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else list(names)


def predicted(model: Any, library: str, rows: Any, prediction: Prediction) -> Expected:
    """What the model itself says of the rows. Raises InvalidInput if it fails on them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _PREDICT[library](model, rows, prediction)
    except InvalidInput:
        raise
    except Exception as error:  # whatever the model raises is about the sample
        raise InvalidInput(
            f"{type(model).__name__} does not predict the sample: {type(error).__name__}: {error}"
        ) from error
    scores = np.asarray(found.scores, np.float64).reshape(len(rows), -1)
    return Expected(scores, None if found.labels is None else np.asarray(found.labels).reshape(-1))


def _of_sklearn(model: Any, rows: Any, prediction: Prediction) -> Expected:
    named = hasattr(model, "feature_names_in_")
    texts = any(getattr(dtype, "kind", "O") == "O" for dtype in rows.dtypes)
    given = rows if named or texts else rows.to_numpy(np.float64)
    if prediction.classes is None:
        return Expected(model.predict(given), None)
    score = model.predict_proba if prediction.probabilities else model.decision_function
    return Expected(score(given), model.predict(given))


def _of_statsmodels(model: Any, rows: Any, prediction: Prediction) -> Expected:
    from gristmill.serializing.statsmodels_models import predict_rows

    return Expected(predict_rows(model, rows), None)


def _of_booster(model: Any, rows: Any, prediction: Prediction) -> Expected:
    """Of XGBoost and LightGBM, of their classes in the manner of scikit-learn or not."""
    if hasattr(model, "predict_proba"):
        return Expected(model.predict_proba(rows), model.predict(rows))
    if library_of(model) == "xgboost" and not hasattr(model, "get_booster"):
        from gristmill.serializing.xgboost_models import predict_rows

        scores = np.asarray(predict_rows(model, rows))
    else:
        scores = np.asarray(model.predict(rows))
    if prediction.classes is None:
        return Expected(scores, None)
    if scores.ndim == 1:
        scores = np.stack([1 - scores, scores], axis=1)
    return Expected(scores, prediction.classes[scores.argmax(axis=1)])


_PREDICT = {
    "sklearn": _of_sklearn,
    "xgboost": _of_booster,
    "lightgbm": _of_booster,
    "statsmodels": _of_statsmodels,
}
