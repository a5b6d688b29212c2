"""Fit both models in the interpreter that will serve them. Usage: fit.py BOSTON_CSV FOLDER.

Writes `{linear,forest}-{array,frame}.joblib` (fitted on a numpy array, on a pandas frame), the same as
`.dill` where dill is installed, `expected.json` (the predictions of every row) and `versions.json`.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib import metadata
from pathlib import Path

import joblib
import pandas
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

SHOWN = ("scikit-learn", "numpy", "pandas", "uvicorn", "uvloop", "httptools", "orjson", "fastapi")
SERVERS = ("mlserver", "mlserver-sklearn", "kserve", "bentoml", "litserve", "gristmill")


def versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in SERVERS + SHOWN:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def main(csv: str, folder: Path) -> None:
    frame = pandas.read_csv(csv)
    target = frame.pop("medv").to_numpy()
    expected = {}
    for form, data in (("array", frame.to_numpy(dtype=float)), ("frame", frame)):
        linear = LinearRegression().fit(data, target)
        forest = RandomForestRegressor(n_estimators=100, n_jobs=1, random_state=1).fit(data, target)
        for name, model in (("linear", linear), ("forest", forest)):
            joblib.dump(model, folder / f"{name}-{form}.joblib")
            if form == "array":
                expected[name] = model.predict(data).tolist()
            try:
                import dill
            except ImportError:
                continue
            (folder / f"{name}-{form}.dill").write_bytes(dill.dumps(model))
    (folder / "expected.json").write_text(json.dumps(expected))
    (folder / "versions.json").write_text(json.dumps(versions()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
