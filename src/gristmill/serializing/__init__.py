"""Fitted models of Python as files for realtime services: what `gristmill.serialize_model` is made of.

Nothing here is loaded before a model is serialized: numpy, onnx and the model's own library are needed then.
"""

from __future__ import annotations

from typing import Any

__all__ = ["serialize_model"]


def serialize_model(model: Any, sample: Any, *, tolerance: float | None = None) -> bytes:
    """A fitted model as bytes for `publish_realtime`: scored without Python, checked when it is published.

    model: of scikit-learn (also a pipeline), XGBoost, LightGBM or statsmodels.
    sample: rows as the model takes them, a pandas frame or a 2-D numpy array. Names and types of the
        service's columns are taken from it. The model's own predictions of up to 100 of its rows travel
        along, for the server to compare: let some have missing values if callers may send such rows.
    tolerance: largest relative difference of scores that the server lets pass; 1e-6 if not given.

    Raises InvalidInput for a model, or a step of one, that cannot be turned into a native one exactly.
    """
    from gristmill.serializing.serialize import serialized

    return serialized(model, sample, tolerance)
