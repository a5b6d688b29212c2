"""Small models of every kind that `serialize_model` knows, fitted to the same made-up people.

Run as a program it measures, for the table in docs/reference/realtime-python.md, how far native scores are
from the models' own.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
import xgboost as xgb
from sklearn import ensemble, linear_model, neural_network, svm, tree
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

__all__ = ["CASES", "NUMBERS", "TEXTS", "Case", "gaps", "mixed", "people"]

NUMBERS = ["age", "pay", "children"]
TEXTS = ["city", "sex"]


@dataclass(frozen=True)
class Case:
    """A fitted model; rows to score, with the missing values and unknown texts that it takes."""

    model: Any
    rows: pd.DataFrame
    given: pd.DataFrame | None = None  #: what the model's own `predict` is given, if not the rows


@functools.cache
def people(rows: int = 1000, seed: int = 1) -> pd.DataFrame:
    """Numbers, counts, texts and truth values; responses of four kinds."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.normal(40, 10, rows),
            "pay": random.lognormal(8, 1, rows),
            "children": random.integers(0, 6, rows),
            "city": random.choice(["Bern", "Oslo", "Rome", "Wien"], rows),
            "sex": random.choice(["f", "m"], rows),
            "owns": random.random(rows) < 0.5,
        }
    )
    towns = frame["city"].map({"Bern": 5.0, "Oslo": 1.0, "Rome": 9.0, "Wien": 3.0})
    level = frame["age"] / 4 + np.log(frame["pay"]) * 2 + frame["children"] + towns + frame["owns"] * 3
    frame["value"] = level + random.normal(0, 1, rows)
    frame["count"] = random.poisson(np.exp(level / 20))
    frame["yes"] = frame["value"] > frame["value"].median()
    frame["grade"] = pd.cut(frame["value"], 3, labels=["low", "mid", "high"]).astype(str)
    return frame


def gaps(*, unseen: bool = False) -> pd.DataFrame:
    """The same people with a tenth of ages and cities missing, and cities that were never seen."""
    frame, random = people(seed=2).copy(), np.random.default_rng(3)
    frame.loc[random.random(len(frame)) < 0.1, "age"] = np.nan
    if unseen:
        frame.loc[random.random(len(frame)) < 0.1, "city"] = "Paris"
    frame["city"] = frame["city"].where(random.random(len(frame)) >= 0.1, None)
    return frame


def _plain(make: Callable[[], Any], response: str) -> Callable[[], Case]:
    """Fitted to numbers, which it takes without gaps."""

    def case() -> Case:
        fitted = make().fit(people(400)[NUMBERS], people(400)[response])
        return Case(fitted, people(seed=2)[NUMBERS])

    return case


def _gaps(make: Callable[[], Any], response: str) -> Callable[[], Case]:
    """Fitted to numbers with gaps, which it takes."""

    def case() -> Case:
        fitting = gaps().head(400)
        answers = fitting[response] if response != "grade" else pd.factorize(fitting["grade"])[0]
        fitted = make().fit(fitting[NUMBERS], answers)
        return Case(fitted, gaps()[NUMBERS])

    return case


def mixed(encoder: Any, final: Any, *, impute: bool = True) -> Any:
    """The usual pipeline: numbers are imputed and scaled, texts encoded, truth values passed."""
    numbers: Any = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts: Any = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
    parts = [
        ("numbers", numbers if impute else StandardScaler(), NUMBERS),
        ("texts", texts if impute else encoder, TEXTS),
        ("owns", "passthrough", ["owns"]),
    ]
    return Pipeline([("columns", ColumnTransformer(parts)), ("model", final)])


def _mixed(make: Callable[[], Any], response: str, rows: Callable[[], pd.DataFrame]) -> Callable[[], Case]:
    """Fitted to all columns, with gaps if the rows have them."""

    def case() -> Case:
        columns = [*NUMBERS, *TEXTS, "owns"]
        scored = rows()
        fitting = people(400) if not scored.isna().any(axis=None) else gaps().head(400)
        return Case(make().fit(fitting[columns], fitting[response]), scored[columns])

    return case


def _factors(make: Callable[[], Any], response: str) -> Callable[[], Case]:
    """Fitted to pandas categoricals, with gaps."""

    def case() -> Case:
        columns = [*NUMBERS, *TEXTS]
        frame = gaps()
        frame[TEXTS] = frame[TEXTS].astype("category")
        fitting = frame.head(400)
        return Case(make().fit(fitting[columns], fitting[response]), frame[columns])

    return case


_SMALL: dict[str, Any] = {"n_estimators": 12, "random_state": 0}
_TREE: dict[str, Any] = {"max_depth": 6, "random_state": 0}
_HIST: dict[str, Any] = {"max_iter": 12, "random_state": 0}
_LGB: dict[str, Any] = {"n_estimators": 15, "verbose": -1, "n_jobs": 1}
_XGB: dict[str, Any] = {"n_estimators": 15, "n_jobs": 1}


def _scaled(final: Any) -> Any:
    return make_pipeline(StandardScaler(), final)


def _simple() -> dict[str, Callable[[], Case]]:
    known: dict[str, tuple[Callable[[], Any], str]] = {
        "LinearRegression": (linear_model.LinearRegression, "value"),
        "Ridge": (linear_model.Ridge, "value"),
        "Lasso": (linear_model.Lasso, "value"),
        "ElasticNet": (linear_model.ElasticNet, "value"),
        "PoissonRegressor": (lambda: _scaled(linear_model.PoissonRegressor()), "count"),
        "TweedieRegressor": (lambda: _scaled(linear_model.TweedieRegressor(power=1.5)), "value"),
        "LogisticRegression, 2 classes": (lambda: _scaled(linear_model.LogisticRegression()), "yes"),
        "LogisticRegression, 3 classes": (lambda: _scaled(linear_model.LogisticRegression()), "grade"),
        "LinearDiscriminantAnalysis": (LinearDiscriminantAnalysis, "grade"),
        "LinearSVR": (lambda: _scaled(svm.LinearSVR()), "value"),
        "LinearSVC": (lambda: _scaled(svm.LinearSVC()), "grade"),
        "RidgeClassifier": (linear_model.RidgeClassifier, "yes"),
        "SGDClassifier": (
            lambda: _scaled(linear_model.SGDClassifier(loss="log_loss", random_state=0)),
            "grade",
        ),
        "SVR": (lambda: _scaled(svm.SVR()), "value"),
        "MLPRegressor": (lambda: _perceptron(neural_network.MLPRegressor), "value"),
        "MLPClassifier": (lambda: _perceptron(neural_network.MLPClassifier), "grade"),
        "GradientBoostingRegressor": (lambda: ensemble.GradientBoostingRegressor(**_SMALL), "value"),
        "GradientBoostingClassifier": (lambda: ensemble.GradientBoostingClassifier(**_SMALL), "grade"),
        "VotingRegressor": (lambda: ensemble.VotingRegressor(_parts()), "value"),
        "BaggingRegressor": (lambda: ensemble.BaggingRegressor(n_estimators=4, random_state=0), "value"),
        "GaussianNB (skl2onnx)": (GaussianNB, "grade"),
        "GridSearchCV": (lambda: GridSearchCV(linear_model.Ridge(), {"alpha": [0.1, 1.0]}, cv=2), "value"),
    }
    return {name: _plain(make, response) for name, (make, response) in known.items()}


def _perceptron(cls: Any) -> Any:
    return _scaled(cls(hidden_layer_sizes=(8, 4), max_iter=50, random_state=0))


def _parts() -> list[tuple[str, Any]]:
    return [("line", linear_model.Ridge()), ("tree", tree.DecisionTreeRegressor(**_TREE))]


def _steps() -> dict[str, Callable[[], Case]]:
    """Transformers of numbers, in front of a linear model."""
    ridge = linear_model.Ridge
    log = FunctionTransformer(np.log1p)
    known: dict[str, Callable[[], Any]] = {
        "MinMaxScaler, PCA": lambda: make_pipeline(MinMaxScaler(clip=True), PCA(2, whiten=True), ridge()),
        "RobustScaler, SelectKBest": lambda: make_pipeline(RobustScaler(), SelectKBest(k=2), ridge()),
        "MaxAbsScaler, PolynomialFeatures": lambda: make_pipeline(
            MaxAbsScaler(), PolynomialFeatures(3), ridge()
        ),
        "KBinsDiscretizer": lambda: make_pipeline(KBinsDiscretizer(4, encode="onehot-dense"), ridge()),
        "Normalizer, Binarizer": lambda: make_pipeline(
            FeatureUnion([("n", Normalizer()), ("b", Binarizer(threshold=3))]), ridge()
        ),
        "FunctionTransformer": lambda: make_pipeline(log, ridge()),
        "TransformedTargetRegressor": lambda: TransformedTargetRegressor(
            make_pipeline(log, ridge()), func=np.log1p, inverse_func=np.expm1
        ),
    }
    return {name: _plain(make, "value") for name, make in known.items()}


def _with_gaps() -> dict[str, Callable[[], Case]]:
    """Models that take NaN."""
    known: dict[str, tuple[Callable[[], Any], str]] = {
        "DecisionTreeRegressor": (lambda: tree.DecisionTreeRegressor(**_TREE), "value"),
        "DecisionTreeClassifier": (lambda: tree.DecisionTreeClassifier(**_TREE), "yes"),
        "RandomForestRegressor": (lambda: ensemble.RandomForestRegressor(**_SMALL), "value"),
        "RandomForestClassifier": (
            lambda: ensemble.RandomForestClassifier(**_SMALL, min_samples_leaf=3),
            "yes",
        ),
        "ExtraTreesRegressor": (lambda: ensemble.ExtraTreesRegressor(**_SMALL), "value"),
        "ExtraTreesClassifier": (lambda: ensemble.ExtraTreesClassifier(**_SMALL), "yes"),
        "HistGradientBoostingRegressor": (lambda: ensemble.HistGradientBoostingRegressor(**_HIST), "value"),
        "HistGradientBoostingRegressor, Poisson": (
            lambda: ensemble.HistGradientBoostingRegressor(loss="poisson", **_HIST),
            "count",
        ),
        "HistGradientBoostingClassifier": (lambda: ensemble.HistGradientBoostingClassifier(**_HIST), "yes"),
        "SimpleImputer with indicators": (
            lambda: make_pipeline(SimpleImputer(add_indicator=True), linear_model.Ridge()),
            "value",
        ),
        "XGBRegressor": (lambda: xgb.XGBRegressor(**_XGB), "value"),
        "XGBRegressor, Poisson": (lambda: xgb.XGBRegressor(objective="count:poisson", **_XGB), "count"),
        "XGBRegressor, dart": (
            lambda: xgb.XGBRegressor(booster="dart", rate_drop=0.3, seed=1, **_XGB),
            "value",
        ),
        "XGBClassifier, 2 classes": (lambda: xgb.XGBClassifier(**_XGB), "yes"),
        "XGBClassifier, 3 classes": (lambda: xgb.XGBClassifier(**_XGB), "grade"),
        "LGBMRegressor": (lambda: lgb.LGBMRegressor(**_LGB), "value"),
        "LGBMRegressor, Tweedie": (lambda: lgb.LGBMRegressor(objective="tweedie", **_LGB), "value"),
        "LGBMRegressor, forest": (
            lambda: lgb.LGBMRegressor(boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, **_LGB),
            "value",
        ),
        "LGBMRegressor, zeros missing": (lambda: lgb.LGBMRegressor(zero_as_missing=True, **_LGB), "value"),
        "LGBMRegressor, root": (lambda: lgb.LGBMRegressor(reg_sqrt=True, **_LGB), "value"),
        "LGBMClassifier, 2 classes": (lambda: lgb.LGBMClassifier(**_LGB), "yes"),
        "LGBMClassifier, 3 classes": (lambda: lgb.LGBMClassifier(**_LGB), "grade"),
    }
    return {name: _gaps(make, response) for name, (make, response) in known.items()}


def _mixtures() -> dict[str, Callable[[], Case]]:
    """Pipelines over numbers, texts and truth values."""
    ridge = linear_model.Ridge
    ignore = functools.partial(OneHotEncoder, handle_unknown="ignore")
    number = functools.partial(OrdinalEncoder, handle_unknown="use_encoded_value")
    whole, unseen = functools.partial(people, seed=2), functools.partial(gaps, unseen=True)
    rare = functools.partial(OneHotEncoder, handle_unknown="infrequent_if_exist", max_categories=3)
    return {
        "OneHotEncoder": _mixed(
            lambda: mixed(OneHotEncoder(drop="first"), ridge(), impute=False), "value", whole
        ),
        "OneHotEncoder, unknown ignored": _mixed(lambda: mixed(ignore(), ridge()), "value", unseen),
        "OneHotEncoder, null a category": _mixed(
            lambda: mixed(ignore(), ensemble.HistGradientBoostingRegressor(**_HIST), impute=False),
            "value",
            unseen,
        ),
        "OneHotEncoder, rare together": _mixed(lambda: mixed(rare(), ridge()), "value", unseen),
        "OrdinalEncoder, forest": _mixed(
            lambda: mixed(number(unknown_value=-1), ensemble.RandomForestRegressor(**_SMALL)), "value", unseen
        ),
        "OrdinalEncoder, NaN for unknown": _mixed(
            lambda: mixed(
                number(unknown_value=np.nan), ensemble.HistGradientBoostingClassifier(**_HIST), impute=False
            ),
            "grade",
            unseen,
        ),
        "TargetEncoder": _mixed(lambda: mixed(TargetEncoder(), ridge()), "value", unseen),
        "Pipeline, LogisticRegression": _mixed(
            lambda: mixed(ignore(), linear_model.LogisticRegression(max_iter=500)), "grade", unseen
        ),
        "Pipeline, XGBRegressor": _mixed(lambda: mixed(ignore(), xgb.XGBRegressor(**_XGB)), "value", unseen),
        "Pipeline, LGBMClassifier": _mixed(
            lambda: mixed(ignore(), lgb.LGBMClassifier(**_LGB)), "grade", unseen
        ),
        "HistGradientBoosting, factors": _factors(
            lambda: ensemble.HistGradientBoostingRegressor(categorical_features="from_dtype", **_HIST),
            "value",
        ),
        "XGBRegressor, factors": _factors(lambda: xgb.XGBRegressor(enable_categorical=True, **_XGB), "value"),
        "LGBMRegressor, factors": _factors(lambda: lgb.LGBMRegressor(min_data_per_group=5, **_LGB), "value"),
    }


def _statistics() -> dict[str, Callable[[], Case]]:
    """Of statsmodels: to arrays with a constant, and by formulas."""
    families = sm.families

    def arrays(make: Callable[[pd.DataFrame, pd.DataFrame], Any]) -> Callable[[], Case]:
        def case() -> Case:
            frame = people(400)
            rows = people(seed=2)[NUMBERS] / [10.0, 1000.0, 1.0]
            fitted = make(frame, sm.add_constant(frame[NUMBERS] / [10.0, 1000.0, 1.0]))
            return Case(fitted, rows, sm.add_constant(rows))

        return case

    def formula(text: str, **options: Any) -> Callable[[], Case]:
        fit = smf.glm if options else smf.ols
        return lambda: Case(
            fit(text, people(400).assign(yes=people(400)["yes"] * 1), **options).fit(), gaps()
        )

    def glm(response: str, family: Any) -> Callable[[], Case]:
        return arrays(lambda frame, x: sm.GLM(frame[response] * 1, x, family=family).fit())

    return {
        "OLS": arrays(lambda frame, x: sm.OLS(frame["value"], x).fit()),
        "QuantReg": arrays(lambda frame, x: sm.QuantReg(frame["value"], x).fit()),
        "RLM": arrays(lambda frame, x: sm.RLM(frame["value"], x).fit()),
        "Logit": arrays(lambda frame, x: sm.Logit(frame["yes"] * 1, x).fit(disp=0)),
        "Poisson": arrays(lambda frame, x: sm.Poisson(frame["count"], x).fit(disp=0)),
        "GLM binomial, logit": glm("yes", families.Binomial()),
        "GLM binomial, complementary log-log": glm("yes", families.Binomial(families.links.CLogLog())),
        "GLM binomial, probit": glm("yes", families.Binomial(families.links.Probit())),
        "GLM binomial, Cauchy": glm("yes", families.Binomial(families.links.Cauchy())),
        "GLM Poisson, log": glm("count", families.Poisson()),
        "GLM gamma, inverse": glm("value", families.Gamma()),
        "GLM Poisson, root": glm("count", families.Poisson(families.links.Sqrt())),
        "ols formula, numbers": formula("value ~ age + np.log(pay) + I(children**2)"),
        "ols formula, factors": formula("value ~ age * C(city) + sex:children - 1"),
        "ols formula, sums contrasts": formula("value ~ C(city, Sum) * pay + C(children)"),
        "glm formula": formula("yes ~ age + np.log1p(pay) + city", family=families.Binomial()),
    }


CASES: dict[str, Callable[[], Case]] = {
    **_simple(),
    **_steps(),
    **_with_gaps(),
    **_mixtures(),
    **_statistics(),
}


def _main() -> None:
    """Print the table of the reference page."""
    from tests.integration.test_realtime_from_python import difference

    warnings.simplefilter("ignore")
    for name, case in CASES.items():
        off = difference(case())
        print(f"| {name} | {'equal' if off == 0 else f'{off:.0e}'} |")


if __name__ == "__main__":
    _main()
