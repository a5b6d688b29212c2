"""Inverse links of `stats::make.link`, with its bounds, on tensors of doubles."""

from __future__ import annotations

import math
from collections.abc import Callable

from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.from_r.payload import Link
from gristmill.realtime.graphs.builder import Builder
from gristmill.realtime.graphs.special import cauchy_distribution, expm1, normal_distribution

__all__ = ["logistic", "scores_of", "softmax"]

_EPS = 2.220446049250313e-16
#: -qnorm(.Machine$double.eps) and -qcauchy(.Machine$double.eps).
_PROBIT_END, _CAUCHIT_END = 8.125890664701906, 1433540284805664.8


def _at_least(b: Builder, x: str, bound: float) -> str:
    """R's pmax: NaN stays."""
    return b.op("Where", b.op("Less", x, bound), bound, x)


def _at_most(b: Builder, x: str, bound: float) -> str:
    return b.op("Where", b.op("Greater", x, bound), bound, x)


def _logit(b: Builder, eta: str) -> str:
    odds = b.op("Exp", eta)
    odds = b.op("Where", b.op("Less", eta, -30.0), _EPS, odds)
    odds = b.op("Where", b.op("Greater", eta, 30.0), 1 / _EPS, odds)
    return b.op("Div", odds, b.op("Add", odds, 1.0))


def logistic(b: Builder, x: str) -> str:
    """1 / (1 + exp(-x)), unbounded."""
    return b.op("Div", 1.0, b.op("Add", b.op("Exp", b.op("Neg", x)), 1.0))


def softmax(b: Builder, x: str) -> str:
    """Probabilities [N, K] that are in proportion to exp(x)."""
    return b.op("Softmax", x, axis=1)


def _probit(b: Builder, eta: str) -> str:
    return normal_distribution(b, _at_most(b, _at_least(b, eta, -_PROBIT_END), _PROBIT_END))


def _cauchit(b: Builder, eta: str) -> str:
    return cauchy_distribution(b, _at_most(b, _at_least(b, eta, -_CAUCHIT_END), _CAUCHIT_END))


def _cloglog(b: Builder, eta: str) -> str:
    chance = b.op("Neg", expm1(b, b.op("Neg", b.op("Exp", eta))))
    return _at_least(b, _at_most(b, chance, 1 - _EPS), _EPS)


_LINKS: dict[str, Callable[[Builder, str], str]] = {
    "identity": lambda b, eta: eta,
    "log": lambda b, eta: _at_least(b, b.op("Exp", eta), _EPS),
    "exp": lambda b, eta: b.op("Exp", eta),
    "inverse": lambda b, eta: b.op("Div", 1.0, eta),
    "1/mu^2": lambda b, eta: b.op("Div", 1.0, b.op("Sqrt", eta)),
    "sqrt": lambda b, eta: b.op("Mul", eta, eta),
    "logit": _logit,
    "logistic": logistic,
    "logistic2": lambda b, eta: logistic(b, b.op("Mul", eta, 2.0)),
    "probit": _probit,
    "cauchit": _cauchit,
    "cloglog": _cloglog,
    "softmax": softmax,
}


def scores_of(builder: Builder, eta: str, link: Link) -> str:
    """What the link makes of linear predictors; same shape."""
    if link.name == "power" and link.power is not None and math.isfinite(link.power) and link.power:
        return _at_least(builder, builder.op("Pow", eta, 1 / link.power), _EPS)
    found = _LINKS.get(link.name)
    if found is None:
        raise refuse(f"the link {link.name!r} is not known")
    return found(builder, eta)
