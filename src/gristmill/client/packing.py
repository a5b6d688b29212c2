"""Objects ↔ bytes, by dill: loaded when the first object travels, for it takes its time."""

from __future__ import annotations

import io
from typing import Any

from gristmill.client.definition import Packed
from gristmill.client.errors import GristmillError, InvalidInput
from gristmill.client.types import told

__all__ = ["pack", "unpack"]


def _dill() -> Any:
    try:
        import dill
    except ImportError:
        raise GristmillError(
            "models and objects travel by dill, which is not installed: pip install dill"
        ) from None
    return dill


def pack(name: str, value: Any) -> bytes:
    """An object's bytes. Raises InvalidInput that names the object and why it cannot travel."""
    if isinstance(value, Packed):
        return value.data
    dill = _dill()
    buffer = io.BytesIO()
    try:
        # recurse: of a function's globals only those travel that it uses, not the whole notebook.
        dill.dump(value, buffer, recurse=True)
    except Exception as error:
        failed = InvalidInput(
            f"the object {name!r} ({told(value)}) cannot be serialized: {type(error).__name__}: {error}. "
            "Open files, connections, locks and generators cannot travel"
        )
        failed.parameter = name
        raise failed from error
    return buffer.getvalue()


def unpack(name: str, data: bytes) -> Any:
    """The object that a session of one's own sent. Raises InvalidInput if it cannot be loaded here."""
    dill = _dill()
    try:
        return dill.loads(data)
    except Exception as error:
        failed = InvalidInput(
            f"the object {name!r} came, and cannot be loaded here: {type(error).__name__}: {error}. "
            "The server may have other versions of Python or of a package"
        )
        failed.parameter = name
        raise failed from error
