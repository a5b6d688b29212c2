"""Models that R exported, as ONNX graphs in double precision.

R writes coefficients or trees as JSON (`payload`); `convert` makes the graph. It runs where models are
vetted, in a process of its own: nothing that scores imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gristmill.realtime.from_r.answers import Converted, Target, target_of
from gristmill.realtime.from_r.discriminant import convert_discriminant
from gristmill.realtime.from_r.forest import convert_trees
from gristmill.realtime.from_r.linear import convert_linear
from gristmill.realtime.from_r.network import convert_network
from gristmill.realtime.from_r.partition import convert_partition
from gristmill.realtime.from_r.payload import Discriminant, Linear, Network, Partition, TreeModel, decode

__all__ = ["Converted", "convert"]

_CONVERTERS: dict[type, Callable[[Any, Target], Converted]] = {
    Linear: convert_linear,
    TreeModel: convert_trees,
    Partition: convert_partition,
    Network: convert_network,
    Discriminant: convert_discriminant,
}


def convert(description: Mapping[str, Any], payload: bytes) -> Converted:
    """The graph of a model from R with its parsed description. Raises InvalidInput that names the fault."""
    model = decode(payload)
    return _CONVERTERS[type(model)](model, target_of(description))
