"""Both scikit-learn models as files for realtime services. Usage: serialize.py BOSTON_CSV FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import pandas

from gristmill import serialize_model

if __name__ == "__main__":
    sample = pandas.read_csv(sys.argv[1]).drop(columns="medv").head(100)
    for name in ("linear", "forest"):
        model = joblib.load(Path(sys.argv[2], f"{name}-frame.joblib"))
        Path(sys.argv[2], f"{name}.blob").write_bytes(serialize_model(model, sample))
