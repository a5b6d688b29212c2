"""KServe's Python server with two scikit-learn models. Usage: kserve_models.py MODELS [KServe's own options].

`predict` is that of KServe's own scikit-learn server; all settings but the ports are KServe's defaults.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import joblib
from kserve import Model, ModelServer, model_server
from kserve.utils.utils import get_predict_input, get_predict_response


class Sklearn(Model):
    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name)
        self.path = path
        self.ready = self.load()

    def load(self) -> bool:
        self.model = joblib.load(self.path)
        return True

    def predict(self, payload: Any, headers: dict[str, str] | None = None) -> Any:
        return get_predict_response(payload, self.model.predict(get_predict_input(payload)), self.name)


if __name__ == "__main__":
    folder = Path(sys.argv.pop(1))
    options, _ = model_server.parser.parse_known_args()
    ModelServer(http_port=options.http_port, grpc_port=options.grpc_port).start(
        [Sklearn(name, folder / f"{name}-array.joblib") for name in ("linear", "forest")]
    )
