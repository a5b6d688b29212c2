"""JSON of callers and for callers: msgspec where it is installed, else the standard library, as strict.

Strict in both: NaN and Infinity tokens, numbers past the range of doubles, lone surrogates and bytes that are
no UTF-8 are refused; white space around the document is not.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Callable, NoReturn

from gristmill.errors import InvalidInput

__all__ = ["decode", "encode"]

_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HUGE_EXPONENT = re.compile(rb"[eE]\+?0*[1-9][0-9]{2}")
_HUGE_NUMBER = re.compile(rb"[0-9]{300}")


def decode(body: bytes) -> Any:
    """The value of a JSON document; raises InvalidInput for what is none, and for one nested too deeply."""
    try:
        return _decode(body)
    except RecursionError:
        raise InvalidInput("the body is JSON that is nested too deeply") from None
    except MemoryError:
        raise InvalidInput("the body is too large for the memory that a shell has") from None
    except (ValueError, UnicodeError) as error:
        raise InvalidInput(f"the body is not valid JSON: {error}") from None


def encode(value: object) -> bytes:
    """Compact UTF-8 JSON; floats that are not finite become null, lone surrogates `?`."""
    try:
        return _encode(value)
    except (ValueError, UnicodeError, TypeError, OverflowError):
        return _encode(_clean(value))


def _clean(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_clean(str(key)): _clean(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(each) for each in value]
    return value


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number is past the range of doubles")
    return value


def _decode_plain(body: bytes) -> Any:
    """The standard library's parser, made as strict as msgspec."""
    text = body.decode("utf-8")
    huge = _HUGE_EXPONENT.search(body) or _HUGE_NUMBER.search(body)
    value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite if huge else None)
    if _LONE_SURROGATE.search(body):
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _encode_plain(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


_decode: Callable[[bytes], Any] = _decode_plain
_encode: Callable[[object], bytes] = _encode_plain
try:
    import msgspec
except ImportError:
    pass
else:
    _decode = msgspec.json.Decoder().decode
    _encode = msgspec.json.Encoder().encode
