"""BentoML with two scikit-learn models: `bentoml serve bentoml_models:Models`, its models in $MODELS.

All settings but the port are BentoML's defaults: one worker, no batching.
"""

from __future__ import annotations

import os
from pathlib import Path

import bentoml
import joblib
import numpy as np


@bentoml.service
class Models:
    def __init__(self) -> None:
        folder = Path(os.environ["MODELS"])
        self.models = {name: joblib.load(folder / f"{name}-array.joblib") for name in ("linear", "forest")}

    @bentoml.api
    def linear(self, instances: np.ndarray) -> np.ndarray:
        return self.models["linear"].predict(instances)

    @bentoml.api
    def forest(self, instances: np.ndarray) -> np.ndarray:
        return self.models["forest"].predict(instances)
