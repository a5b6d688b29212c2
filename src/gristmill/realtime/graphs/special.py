"""Functions that ONNX has not, or not in double precision: expm1, log1p, and R's pnorm and pcauchy.

Made of operators on doubles, by the formulas that R's C code has. For models that come from R.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gristmill.realtime.graphs.builder import Builder

__all__ = ["arctangent", "cauchy_distribution", "expm1", "log1p", "normal_distribution"]


def expm1(b: Builder, x: str) -> str:
    """exp(x) - 1 without cancellation (W. Kahan's formula)."""
    u = b.op("Exp", x)
    less = b.op("Sub", u, 1.0)
    near_zero, near_minus_one = b.op("Equal", u, 1.0), b.op("Equal", less, -1.0)
    corrected = b.op("Mul", less, b.op("Div", x, b.op("Log", u)))
    plain = b.op("Or", near_minus_one, b.op("Greater", x, 700.0))
    return b.op("Where", near_zero, x, b.op("Where", plain, less, corrected))


def log1p(b: Builder, x: str) -> str:
    """log(1 + x) without cancellation (the same idea)."""
    u = b.op("Add", x, 1.0)
    corrected = b.op("Mul", b.op("Log", u), b.op("Div", x, b.op("Sub", u, 1.0)))
    plain = b.op("Or", b.op("Greater", x, 1e15), b.op("Equal", u, 0.0))
    return b.op("Where", b.op("Equal", u, 1.0), x, b.op("Where", plain, b.op("Log", u), corrected))


# W. J. Cody (1969), Rational Chebyshev approximations for the error function, as in R's nmath/pnorm.c.
_A = (2.2352520354606839287, 161.02823106855587881, 1067.6894854603709582, 18154.981253343561249,
      0.065682337918207449113)  # fmt: skip
_B = (47.20258190468824187, 976.09855173777669322, 10260.932208618978205, 45507.789335026729956)
_C = (0.39894151208813466764, 8.8831497943883759412, 93.506656132177855979, 597.27027639480026226,
      2494.5375852903726711, 6848.1904505362823326, 11602.651437647350124, 9842.7148383839780218,
      1.0765576773720192317e-8)  # fmt: skip
_D = (22.266688044328115691, 235.38790178262499861, 1519.377599407554805, 6485.558298266760755,
      18615.571640885098091, 34900.952721145977266, 38912.003286093271411, 19685.429676859990727)  # fmt: skip
_P = (0.21589853405795699, 0.1274011611602473639, 0.022235277870649807, 0.001421619193227893466,
      2.9112874951168792e-5, 0.02307344176494017303)  # fmt: skip
_Q = (1.28426009614491121, 0.468238212480865118, 0.0659881378689285515, 0.00378239633202758244,
      7.29751555083966205e-5)  # fmt: skip
_ROOT_32, _INVERSE_ROOT_2PI = 5.656854249492380195206754896838, 0.398942280401432677939946059934


def _ratio(b: Builder, x: str, above: Sequence[float], below: Sequence[float]) -> str:
    """The quotient of two polynomials, as Cody writes them: the last of `above` leads."""
    top, bottom = b.op("Mul", x, above[-1]), x
    for over, under in zip(above[:-2], below[:-1]):
        top = b.op("Mul", b.op("Add", top, over), x)
        bottom = b.op("Mul", b.op("Add", bottom, under), x)
    return b.op("Div", b.op("Add", top, above[-2]), b.op("Add", bottom, below[-1]))


def normal_distribution(b: Builder, x: str) -> str:
    """R's pnorm(x), to the last bits also in the tails down to -37."""
    y = b.op("Abs", x)
    square = b.op("Mul", x, x)
    middle = b.op("Add", b.op("Mul", x, _ratio(b, square, _A, _B)), 0.5)
    inverse = b.op("Div", 1.0, square)
    far = b.op("Mul", inverse, _ratio(b, inverse, _P, _Q))
    far = b.op("Div", b.op("Sub", _INVERSE_ROOT_2PI, far), y)
    tail = b.op("Where", b.op("LessOrEqual", y, _ROOT_32), _ratio(b, y, _C, _D), far)
    cut = b.op("Div", b.op("Floor", b.op("Mul", y, 16.0)), 16.0)
    rest = b.op("Mul", b.op("Sub", y, cut), b.op("Add", y, cut))
    sharp = b.op("Exp", b.op("Mul", b.op("Mul", cut, b.op("Neg", cut)), 0.5))
    tail = b.op("Mul", b.op("Mul", sharp, b.op("Exp", b.op("Mul", rest, -0.5))), tail)
    sided = b.op("Where", b.op("Greater", x, 0.0), b.op("Sub", 1.0, tail), tail)
    return b.op("Where", b.op("LessOrEqual", y, 0.67448975), middle, sided)


# Sun's fdlibm, s_atan.c.
_SERIES = (3.33333333333329318027e-01, -1.99999999998764832476e-01, 1.42857142725034663711e-01,
           -1.11111104054623557880e-01, 9.09088713343650656196e-02, -7.69187620504482999495e-02,
           6.66107313738753120669e-02, -5.83357013379057348645e-02, 4.97687799461593236017e-02,
           -3.65315727442169155270e-02, 1.62858201153657823623e-02)  # fmt: skip
_CUTS = (0.4375, 0.6875, 1.1875, 2.4375)
_HIGH = (0.0, 4.63647609000806093515e-01, 7.85398163397448278999e-01, 9.82793723247329054082e-01,
         1.57079632679489655800e00)  # fmt: skip
_LOW = (0.0, 2.26987774529616870924e-17, 3.06161699786838301793e-17, 1.39033110312309984516e-17,
        6.12323399573676603587e-17)  # fmt: skip


def arctangent(b: Builder, x: str) -> str:
    """atan(x)."""
    y = b.op("Abs", x)
    reduced = [
        y,
        b.op("Div", b.op("Sub", b.op("Mul", y, 2.0), 1.0), b.op("Add", y, 2.0)),
        b.op("Div", b.op("Sub", y, 1.0), b.op("Add", y, 1.0)),
        b.op("Div", b.op("Sub", y, 1.5), b.op("Add", b.op("Mul", y, 1.5), 1.0)),
        b.op("Div", -1.0, y),
    ]
    part, high, low = reduced[4], b.constant(_HIGH[4]), b.constant(_LOW[4])
    for k in (3, 2, 1, 0):
        here = b.op("Less", y, _CUTS[k])
        part = b.op("Where", here, reduced[k], part)
        high, low = b.op("Where", here, _HIGH[k], high), b.op("Where", here, _LOW[k], low)
    square = b.op("Mul", part, part)
    series = b.constant(_SERIES[-1])
    for coefficient in _SERIES[-2::-1]:
        series = b.op("Add", b.op("Mul", series, square), coefficient)
    bent = b.op("Mul", part, b.op("Mul", square, series))
    angle = b.op("Sub", high, b.op("Sub", b.op("Sub", bent, low), part))
    return b.op("Where", b.op("Less", x, 0.0), b.op("Neg", angle), angle)


def cauchy_distribution(b: Builder, x: str) -> str:
    """R's pcauchy(x): far out by atan(1/x), which keeps the small tail exact."""
    far = b.op("Div", arctangent(b, b.op("Div", 1.0, x)), math.pi)
    far = b.op("Where", b.op("Greater", x, 0.0), b.op("Sub", 1.0, far), b.op("Neg", far))
    near = b.op("Add", b.op("Div", arctangent(b, x), math.pi), 0.5)
    return b.op("Where", b.op("Greater", b.op("Abs", x), 1.0), far, near)
