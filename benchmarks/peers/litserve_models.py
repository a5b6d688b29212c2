"""LitServe with two scikit-learn models. Usage: litserve_models.py MODELS PORT.

All settings but the place are LitServe's defaults: one worker for each model, no batching.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import joblib
import litserve
import numpy as np


class Sklearn(litserve.LitAPI):
    def __init__(self, name: str, path: Path) -> None:
        super().__init__(api_path=f"/{name}")
        self.path = path

    def setup(self, device: str) -> None:
        self.model = joblib.load(self.path)

    def decode_request(self, request) -> np.ndarray:  # type: ignore[no-untyped-def]  # LitServe reads types
        return np.array(request["instances"])

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict(rows)

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    models = [Sklearn(name, folder / f"{name}-array.joblib") for name in ("linear", "forest")]
    server = litserve.LitServer(models, accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False)
